"""Pods as a demanding user of Kubernetes knows them, through a real kubectl."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ..e2e.product import Product, ask, wait
from ..e2e.product import ended as process_ended
from ..sweep import workload
from .pods import IMAGE, apply, config, container, ended, mount, pod, ready, reasons, run_in, waits_for

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
SERVE = "mkdir -p /tmp/w; cd /tmp/w; hostname > index.html; exec python3 -m http.server 8080"
# bcrypt of "pw"
HTPASSWD = "bob:$2b$05$abcdefghijklmnopqrstuuHIrMEWpUCQe2YqFR3sXwQ75u4od..9q\n"


def test_the_environment(home: Product) -> None:
    fields = ("metadata.name", "metadata.labels['app']", "spec.nodeName", "status.podIP")
    env: list[dict[str, Any]] = [
        {"name": "A", "value": "one"}, {"name": "B", "value": "$(A) $$(A) $(NO)"},
        {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "color"}}},
        {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "no", "optional": True}}},
        {"name": "D", "valueFrom": {"secretKeyRef": {"name": "env", "key": "pass"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
        *({"name": f"F{number}", "valueFrom": {"fieldRef": {"fieldPath": path}}} for number, path in enumerate(fields)),
    ]  # fmt: skip
    own = container("env; echo args $(A); sleep 1000", env=env, resources={"limits": {"cpu": "500m"}},
                    envFrom=[{"prefix": "P_", "configMapRef": {"name": "env"}}])  # fmt: skip
    apply(home, pod("env", own, labels={"app": "env"}))
    waits_for(home, "env", "CreateContainerConfigError")
    binary = {**config("env", color="red"), "binaryData": {"bytes": "AAEC"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "env"}, "stringData": {"pass": "p $(A)"}}
    apply(home, binary, secret)
    ready(home, "env")
    said = home.kubectl("logs", "env").stdout.splitlines()
    ip = home.value(".status.podIP", "pod", "env")
    wanted = {"A=one", "B=one $(A) $(NO)", "C=red", "D=p $(A)", "CPU=500", "P_color=red", "F0=env", "F1=env", f"F3={ip}", "args one"}
    assert wanted <= set(said)
    assert not {line for line in said if line.startswith(("NONE=", "P_bytes="))}


def test_volumes_and_the_live_update_of_a_config_map(home: Product) -> None:
    mounts = [
        mount("e", "/e"), mount("e", "/sub", subPath="a/b"), mount("e", "/ro", readOnly=True), mount("c", "/c"),
        mount("c", "/etc/one", subPath="one"), mount("s", "/s"), mount("p", "/p"), mount("d", "/d"),
    ]  # fmt: skip
    labels = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    volumes = [
        {"name": "e", "emptyDir": {}}, {"name": "c", "configMap": {"name": "vol"}},
        {"name": "s", "secret": {"secretName": "vol", "defaultMode": 0o400}},
        {"name": "p", "persistentVolumeClaim": {"claimName": "vol"}},
        {"name": "d", "projected": {"sources": [{"downwardAPI": {"items": [labels]}}, {"configMap": {"name": "vol"}}]}},
    ]  # fmt: skip
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "vol"},
             "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "managed-premium",
                      "resources": {"requests": {"storage": "1Gi"}}}}  # fmt: skip
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vol"}, "stringData": {"key": "k"}}
    group = {"fsGroup": 777, "runAsUser": 1234}
    made = pod("vol", container(volumeMounts=mounts), labels={"a": "b"}, volumes=volumes, securityContext=group)
    apply(home, config("vol", one="1"), secret, claim, made)
    ready(home, "vol")
    assert run_in(home, "vol", "touch /sub/x && ls /e/a/b; cat /s/key /d/labels /d/one /etc/one") == 'x\nka="b"11'
    assert run_in(home, "vol", "touch /e/y; stat -c %g /e/y; stat -L -c %a /s/key") == "777\n440\n"
    assert "Read-only" in home.kubectl("exec", "vol", "--", "touch", "/ro/x", check=False).stderr
    assert "StorageClassRelaxed" in reasons(home, "vol")
    home.kubectl("exec", "vol", "--", "sh", "-c", "echo kept > /p/file")
    apply(home, config("vol", two="2"))
    wait(lambda: run_in(home, "vol", "ls /c") == "two\n", "the volume follows its ConfigMap", 90)
    assert run_in(home, "vol", "cat /etc/one") == "1"
    home.kubectl("delete", "pod", "vol", "--now")
    apply(home, pod("vol", container("cat /p/file", volumeMounts=[mount("p", "/p")]), restartPolicy="Never", volumes=volumes[3:4]))
    ended(home, "vol", "Succeeded")
    assert home.kubectl("logs", "vol").stdout == "kept\n"
    home.kubectl("delete", "pod,pvc", "vol")


def test_how_containers_end(home: Product) -> None:
    memory = {"limits": {"memory": "40Mi"}}
    apply(
        home,
        pod("exit", container("echo bye; echo why > /dev/termination-log; exit 7"), restartPolicy="Never"),
        pod("oom", container("exec python3 -c 'x=bytearray(200<<20)'", resources=memory), restartPolicy="Never"),
        pod("nocmd", {"name": "c", "image": IMAGE, "command": ["/nope"]}, restartPolicy="Never"),
        pod("init", initContainers=[container("exit 9", "i")], restartPolicy="Never"),
        pod("late", activeDeadlineSeconds=1),
        pod("again", container("echo run $(cat /v/n 2>/dev/null); test -e /v/n && exit 0; echo 2 > /v/n; exit 5", volumeMounts=[mount("v", "/v")]),
            restartPolicy="OnFailure", volumes=[{"name": "v", "emptyDir": {}}]),
    )  # fmt: skip
    ends = {name: ended(home, name) for name in ("exit", "oom", "nocmd", "init", "late")}
    states = {name: found["containerStatuses"][0]["state"].get("terminated", {}) for name, found in ends.items()}
    assert (states["exit"]["exitCode"], states["exit"]["message"]) == (7, "why\n")
    assert (states["oom"]["exitCode"], states["oom"]["reason"]) == (137, "OOMKilled")
    assert (states["nocmd"]["exitCode"], states["nocmd"]["reason"]) == (128, "StartError")
    assert ends["init"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 9
    assert ends["late"]["reason"] == "DeadlineExceeded"
    assert ended(home, "again", "Succeeded")["containerStatuses"][0]["restartCount"] == 1
    assert home.kubectl("logs", "again").stdout == "run 2\n"
    assert home.kubectl("logs", "again", "--previous").stdout == "run\n"


def test_back_off(home: Product) -> None:
    apply(home, pod("crash", container("echo out; exit 3")))
    waits_for(home, "crash", "CrashLoopBackOff")
    found = home.read("pod", "crash")["status"]["containerStatuses"][0]
    assert found["lastState"]["terminated"]["exitCode"] == 3 and found["restartCount"] >= 1
    assert home.kubectl("logs", "crash", "--previous").stdout == "out\n"
    assert "BackOff" in reasons(home, "crash")
    home.kubectl("delete", "pod", "crash")


def test_probes_and_endpoints(home: Product) -> None:
    http = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1}
    live = {"exec": {"command": ["test", "!", "-e", "/tmp/sick"]}, "periodSeconds": 1, "failureThreshold": 1}
    start = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 20}
    own = container(SERVE, ports=[{"name": "http", "containerPort": 8080}], readinessProbe=http, livenessProbe=live, startupProbe=start)
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "probed"},
               "spec": {"selector": {"app": "probed"}, "ports": [{"port": 80, "targetPort": "http"}]}}  # fmt: skip
    apply(home, pod("probed", own, labels={"app": "probed"}), service)
    wait(lambda: home.value(".status.containerStatuses[0].started", "pod", "probed") == "true", "it has started", 30)
    assert home.endpoints("probed") == []
    run_in(home, "probed", "touch /tmp/w/ready")
    wait(lambda: home.endpoints("probed"), "it is an endpoint", 15)
    assert ask(f"http://{home.value('.spec.clusterIP', 'service', 'probed')}/ready")[0] == 200
    run_in(home, "probed", "touch /tmp/sick")
    wait(lambda: home.value(".status.containerStatuses[0].restartCount", "pod", "probed") == "1", "it is restarted", 20)
    assert {"Unhealthy", "Killing"} <= reasons(home, "probed")
    home.kubectl("delete", "pod,service", "probed")


def test_endpoints_written_by_hand(home: Product) -> None:
    apply(home, pod("outside", container(SERVE)))
    ready(home, "outside")
    ip = home.value(".status.podIP", "pod", "outside")
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "byhand"}, "spec": {"ports": [{"port": 80, "targetPort": 8080}]}}
    points = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "byhand"},
              "subsets": [{"addresses": [{"ip": ip}], "ports": [{"port": 8080}]}]}  # fmt: skip
    apply(home, service, points)
    url = f"http://{home.value('.spec.clusterIP', 'service', 'byhand')}/"
    assert wait(lambda: ask(url)[0] == 200, "the service leads there", 15)
    found = run_in(home, "outside", "python3 -c \"import socket; print(socket.gethostbyname('byhand.default.svc'))\"")
    assert f"http://{found.strip()}/" == url
    home.kubectl("delete", "pod", "outside", "--now")
    home.kubectl("delete", "service", "byhand")


def test_hooks_and_grace(home: Product, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo post >> /v/log"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo pre >> /v/log"]}},
    }
    script = "trap 'echo term >> /v/log; exit 0' TERM; while true; do sleep 0.1; done"
    volume = {"name": "v", "hostPath": {"path": str(tmp_path), "type": "Directory"}}
    own = container(script, lifecycle=hooks, volumeMounts=[mount("v", "/v")], securityContext={"runAsUser": 0})
    apply(home, pod("hooks", own, volumes=[volume], terminationGracePeriodSeconds=10))
    ready(home, "hooks")
    home.kubectl("delete", "pod", "hooks")
    assert (tmp_path / "log").read_text() == "post\npre\nterm\n"


@contextmanager
def tagged(name: str) -> Iterator[None]:
    """An image under another name."""
    subprocess.run(["podman", "tag", f"localhost/{IMAGE}", name], check=True)
    try:
        yield
    finally:
        subprocess.run(["podman", "rmi", name], check=False, capture_output=True)


def test_images(home: Product) -> None:
    later, closed = f"localhost/later-{os.getpid()}:1", "127.0.0.1:9/closed/app:1"
    with tagged(closed):
        apply(
            home,
            pod("later", {"name": "c", "image": later, "command": ["sleep", "1000"]}),
            pod("never", {"name": "c", "image": "localhost/never:1", "imagePullPolicy": "Never"}),
            pod("always", {"name": "c", "image": closed, "imagePullPolicy": "Always", "command": ["sleep", "1000"]}),
            pod("wrong", {"name": "c", "image": "UPPER/x:y:z"}),
        )
        waits_for(home, "later", "ImagePullBackOff")
        waits_for(home, "never", "ErrImageNeverPull")
        waits_for(home, "wrong", "InvalidImageName")
        ready(home, "always")
    assert "LocalImageUsed" in reasons(home, "always")
    assert home.value(".spec.containers[0].image", "pod", "always") == closed
    with tagged(later):
        home.kubectl("wait", "--for=condition=Ready", "pod/later", "--timeout=40s")
        home.kubectl("delete", "pod", "later", "never", "always", "wrong", "--now")


@contextmanager
def registry(folder: Path, port: int) -> Iterator[str]:
    """A registry on loopback that asks who one is."""
    (folder / "htpasswd").write_text(HTPASSWD)
    (folder / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n"
        f"auth: {{htpasswd: {{realm: r, path: {folder}/htpasswd}}}}\n"
    )
    argv = ["docker-registry", "serve", str(folder / "config.yml")]
    with process_ended(subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)):
        wait(lambda: ask(f"http://127.0.0.1:{port}/v2/")[0] == 401, "the registry answers", 15)
        yield f"127.0.0.1:{port}/private/app:1"


def test_a_private_registry(home: Product, tmp_path: Path) -> None:
    if not shutil.which("docker-registry"):
        pytest.skip("needs docker-registry: make setup")
    with registry(tmp_path, 5700 + os.getpid() % 200) as image:
        server = image.partition("/")[0]
        argv = ["podman", "push", "--tls-verify=false", "--creds=bob:pw", f"localhost/{IMAGE}", image]
        subprocess.run(argv, check=True, capture_output=True)
        for name, password in (("good", "pw"), ("bad", "no")):
            home.kubectl("create", "secret", "docker-registry", name, f"--docker-server={server}",
                         "--docker-username=bob", f"--docker-password={password}")  # fmt: skip
            own = {"name": "c", "image": image, "imagePullPolicy": "Always", "command": ["sleep", "1000"]}
            apply(home, pod(name, own, imagePullSecrets=[{"name": name}]))
        ready(home, "good")
        waits_for(home, "bad", "ImagePullBackOff")
        home.kubectl("delete", "pod", "good", "bad", "--now")
        subprocess.run(["podman", "rmi", image], check=False, capture_output=True)


def test_scheduling(home: Product) -> None:
    big = container(resources={"requests": {"memory": "1000Gi"}})
    apply(
        home, pod("relaxed", nodeSelector={"nested": "true"}), pod("windows", nodeSelector={"kubernetes.io/os": "windows"}),
        pod("big", big), pod("nowhere", nodeName="nowhere"),
    )  # fmt: skip
    ready(home, "relaxed")
    assert "NodeSelectorRelaxed" in reasons(home, "relaxed")
    for name in ("windows", "big"):
        conditions = home.read("pod", name)["status"]["conditions"]
        assert [one["reason"] for one in conditions if one["type"] == "PodScheduled"] == ["Unschedulable"]
    home.kubectl("delete", "pod", "relaxed", "windows", "big", "nowhere", timeout_s=20)


def test_pods_in_every_state_outlive_the_engine(home: Product) -> None:
    nothing = {"name": "c", "image": IMAGE, "command": ["/nope"]}
    apply(
        home, pod("runs", container(SERVE)), pod("crashes", container("exit 1")), pod("fails", nothing, restartPolicy="Never"),
        pod("ends", container("sleep 6; exit 3"), restartPolicy="Never"),
        pod("begins", initContainers=[container("sleep 6", "i")]),
        pod("goes", container("trap '' TERM; while true; do sleep 1; done"), terminationGracePeriodSeconds=5),
    )  # fmt: skip
    ready(home, "runs", "goes")
    before = home.value(".status.containerStatuses[0].containerID", "pod", "runs")
    ip = home.value(".status.podIP", "pod", "runs")
    ended(home, "fails")
    home.kubectl("delete", "pod", "goes", "--wait=false")
    home.kill_engine()
    assert ask(f"http://{ip}:8080/")[0] == 200
    home.vmpod("engine", "start")
    assert ended(home, "ends")["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    assert home.read("pod", "fails")["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "StartError"
    ready(home, "begins")
    home.kubectl("wait", "--for=delete", "pod/goes", "--timeout=20s")
    assert home.value(".status.containerStatuses[0].containerID", "pod", "runs") == before
    assert home.value(".status.containerStatuses[0].restartCount", "pod", "runs") == "0"


def test_many_come_and_go_and_leave_nothing(home: Product) -> None:
    names = [f"many-{number}" for number in range(20)]
    shown = [mount("v", "/v")]
    apply(home, *(config(name, a="b") for name in names), *(
        pod(name, container(volumeMounts=shown), volumes=[{"name": "v", "configMap": {"name": name}}], labels={"many": ""})
        for name in names
    ))  # fmt: skip
    home.kubectl("wait", "--for=condition=Ready", "pod", "-l", "many", "--timeout=60s")
    home.kubectl("delete", "pods", "--all", "--now", timeout_s=120)
    home.kubectl("delete", "configmaps", *names)
    wait(lambda: not workload(home.home), "nothing is left of the pods", 10)
