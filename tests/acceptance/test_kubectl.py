"""Everything that people do with kubectl all day, against the engine."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vmpod.base.paths import Paths

from ..e2e.product import Product, ask, wait
from ..e2e.product import ended as process_ended
from .pods import IMAGE, apply, config, container, mount, pod, ready

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
SERVE = "mkdir -p /tmp/w; cd /tmp/w; hostname > index.html; exec python3 -m http.server 8080"
DEPLOYMENT = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
    "spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [
                container(SERVE, "web", readinessProbe={"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1})]},
        },
    },
}  # fmt: skip


def refused(home: Product, *arguments: str, stdin: str = "") -> str:
    """What kubectl says when it is told no."""
    done = home.kubectl(*arguments, stdin=stdin, check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr


@pytest.fixture(scope="module")
def shell(home: Product) -> str:
    """A pod to run commands in."""
    apply(home, pod("shell", container(SERVE)))
    ready(home, "shell")
    return "shell"


def test_who_may_ask(home: Product) -> None:
    assert Paths(home.home).kubeconfig.stat().st_mode & 0o777 == 0o600
    server = home.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}").stdout
    curl = ["curl", "-sk", "-o", os.devnull, "-w", "%{http_code}", f"{server}/api/v1/pods"]
    assert subprocess.run(curl, capture_output=True, text=True, check=False).stdout == "401"
    assert home.kubectl("auth", "can-i", "delete", "pods").stdout == "yes\n"
    assert "vmpod" in home.kubectl("auth", "whoami").stdout


def test_an_account_is_known_by_its_token_and_may_only_look_around(home: Product, shell: str) -> None:
    server = home.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}").stdout
    made = home.kubectl("create", "token", "default", "--duration", "10m").stdout.strip()
    mounted = home.kubectl("exec", shell, "--", "cat", f"{ACCOUNT}/token").stdout
    assert home.kubectl("exec", shell, "--", "cat", f"{ACCOUNT}/namespace").stdout == "default"
    for token in (made, mounted):
        bare = ["--kubeconfig", os.devnull, "--server", server, "--insecure-skip-tls-verify", "--token", token]
        who = home.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", *bare)
        assert who.stdout == "system:serviceaccount:default:default"
        assert home.kubectl("auth", "can-i", "list", "pods", *bare, check=False).stdout == "no\n"
        assert 'cannot list resource "pods" in API group ""' in refused(home, "get", "pods", *bare)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": mounted}}
    answer = json.loads(home.kubectl("create", "--raw", "/apis/authentication.k8s.io/v1/tokenreviews", "-f", "-",
                                     stdin=json.dumps(review)).stdout)  # fmt: skip
    assert answer["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"] == [shell]
    apply(home, pod("stranger", container(SERVE), serviceAccountName="default", automountServiceAccountToken=False))
    ready(home, "stranger")
    assert "No such file" in refused(home, "exec", "stranger", "--", "ls", ACCOUNT)
    home.kubectl("delete", "pod", "stranger", "--now")


def test_a_second_engine_is_refused(home: Product) -> None:
    done = home.vmpod("engine", "run", check=False)
    assert done.returncode == 1 and "another engine runs" in done.stderr


def test_exec(home: Product, shell: str) -> None:
    assert home.kubectl("exec", "-i", shell, "--", "cat", stdin="hello").stdout == "hello"
    assert home.kubectl("exec", shell, "--", "sh", "-c", "exit 17", check=False).returncode == 17
    missing = home.kubectl("exec", shell, "--", "nosuch", check=False)
    assert missing.returncode == 127 and "not found" in missing.stderr
    assert "container no is not valid" in refused(home, "exec", shell, "-c", "no", "--", "ls")


class Terminal:
    """A command on a terminal of our own."""

    def __init__(self, home: Product, *argv: str) -> None:
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], argv, home.env)
        self.said = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(self.pid, signal.SIGWINCH)

    def type(self, text: str) -> None:
        os.write(self.file, text.encode())

    def until(self, pattern: str, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not re.search(pattern, self.said):
            assert time.monotonic() < deadline, f"no {pattern} in {self.said!r}"
            if select.select([self.file], [], [], 0.2)[0]:
                self.said += os.read(self.file, 4096).decode(errors="replace")

    def end(self) -> int:
        try:
            while os.read(self.file, 4096):
                pass
        except OSError:  # the other side is gone
            pass
        os.close(self.file)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")
def test_exec_on_a_terminal(home: Product, shell: str) -> None:
    terminal = Terminal(home, home.kubectl_program, "exec", "-it", shell, "--", "sh")
    terminal.resize(31, 91)
    terminal.until(r"\$ ")
    terminal.type("stty size\n")
    terminal.until("31 91")
    terminal.resize(44, 111)
    time.sleep(0.5)
    terminal.type("stty size\n")
    terminal.until("44 111")
    terminal.type("exit 5\n")
    assert terminal.end() == 5


def test_copy(home: Product, shell: str, tmp_path: Path) -> None:
    data = os.urandom(2_000_000)
    (tmp_path / "there").write_bytes(data)
    home.kubectl("cp", str(tmp_path / "there"), f"{shell}:/tmp/there")
    home.kubectl("cp", f"{shell}:/tmp/there", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data


def test_logs(home: Product) -> None:
    apply(home, pod("ticks", container("for i in 1 2 3; do echo tick $i; sleep 0.3; done"), restartPolicy="Never"))
    wait(lambda: home.value(".status.phase", "pod", "ticks") != "Pending", "it runs", 20)
    assert home.kubectl("logs", "-f", "ticks").stdout == "tick 1\ntick 2\ntick 3\n"
    assert home.kubectl("logs", "--tail=1", "ticks").stdout == "tick 3\n"
    assert home.kubectl("logs", "--limit-bytes=4", "ticks").stdout == "tick"
    assert home.kubectl("logs", "--since-time=2100-01-01T00:00:00Z", "ticks").stdout == ""
    assert re.fullmatch(r"\d{4}-\S+Z tick 3\n", home.kubectl("logs", "--timestamps", "--tail=1", "ticks").stdout)
    assert "container no is not valid" in refused(home, "logs", "ticks", "-c", "no")
    home.kubectl("delete", "pod", "ticks")


def test_run_and_attach(home: Product) -> None:
    argv = ["run", "-i", "--rm", "--restart=Never", f"--image={IMAGE}"]
    done = home.kubectl(*argv, "asked", "--command", "--", "sh", "-c", "cat; exit 4", stdin="abc", check=False)
    assert done.stdout.startswith("abc") and done.returncode == 4
    assert home.kubectl("get", "pod", "asked", "--ignore-not-found").stdout == ""


def test_port_forward(home: Product, shell: str) -> None:
    child = subprocess.Popen([home.kubectl_program, "port-forward", f"pod/{shell}", ":8080", ":1"],
                             env=home.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
    with process_ended(child):
        assert child.stdout is not None
        found = dict(re.findall(r"127\.0\.0\.1:(\d+) -> (\d+)", "".join(child.stdout.readline() for _ in range(4))))
        port = next(here for here, there in found.items() if there == "8080")
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: ask(f"http://127.0.0.1:{port}/"), range(12)))
        assert answers == [(200, "shell\n")] * 12
        closed = next(here for here, there in found.items() if there == "1")
        with pytest.raises(OSError):
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{closed}/", timeout=5)


def test_a_deployment_through_its_revisions(home: Product) -> None:
    apply(home, DEPLOYMENT)
    rollout = ("rollout", "status", "deployment/web", "--timeout=40s")
    home.kubectl(*rollout)
    home.kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080", "--type=NodePort")
    home.kubectl("scale", "deployment", "web", "--replicas=3")
    home.kubectl(*rollout)
    wait(lambda: len(home.endpoints("web")) == 3, "three endpoints", 10)
    node = home.value(".items[0].status.addresses[0].address", "nodes")
    address = home.value(".spec.clusterIP", "service", "web")
    for url in (f"http://{address}/", f"http://{node}:{home.value('.spec.ports[0].nodePort', 'service', 'web')}/"):
        assert len({ask(url)[1] for _ in range(30)}) == 3
    home.kubectl("patch", "service", "web", "-p", '{"spec":{"sessionAffinity":"ClientIP"}}')
    wait(lambda: len({ask(f"http://{address}/")[1] for _ in range(12)}) == 1, "always the same endpoint", 10)
    home.kubectl("set", "image", "deployment/web", "web=shop-catalog:1.0")
    home.kubectl(*rollout)
    home.kubectl("rollout", "restart", "deployment/web")
    home.kubectl(*rollout)
    assert re.findall(r"^(\d+) ", home.kubectl("rollout", "history", "deployment/web").stdout, re.M) == ["1", "2", "3"]
    home.kubectl("rollout", "undo", "deployment/web", "--to-revision=1")
    home.kubectl(*rollout)
    assert home.value(".spec.template.spec.containers[0].image", "deployment", "web") == IMAGE
    home.kubectl("rollout", "pause", "deployment/web")
    home.kubectl("set", "env", "deployment/web", "A=b")
    assert refused(home, "rollout", "status", "deployment/web", "--timeout=1s")
    home.kubectl("rollout", "resume", "deployment/web")
    home.kubectl(*rollout)
    home.kubectl("delete", "deployment", "web", "--cascade=orphan")
    wait(lambda: len(home.pods("web")) == 3, "its pods stay", 10)
    home.kubectl("delete", "replicasets", "-l", "app=web", "--cascade=foreground")
    assert home.pods("web") == []
    home.kubectl("delete", "service", "web")


def test_apply_and_its_relatives(home: Product) -> None:
    def written(**data: str) -> str:
        return json.dumps({**config("one", **data), "metadata": {"name": "one", "labels": {"set": "a"}}})

    home.kubectl("apply", "-f", "-", stdin=written(a="1", b="2"))
    home.kubectl("patch", "configmap", "one", "-p", '{"data":{"own":"kept"}}')
    assert "unchanged" in home.kubectl("apply", "-f", "-", stdin=written(a="1", b="2")).stdout
    assert "+  a: " in home.kubectl("diff", "-f", "-", stdin=written(a="3"), check=False).stdout
    assert "server dry run" in home.kubectl("apply", "--dry-run=server", "-f", "-", stdin=written(a="3")).stdout
    home.kubectl("apply", "-f", "-", stdin=written(a="3"))
    assert home.read("configmap", "one")["data"] == {"a": "3", "own": "kept"}
    stale = home.kubectl("get", "configmap", "one", "-o", "json").stdout
    home.kubectl("label", "configmap", "one", "x=y")
    assert "the object has been modified" in refused(home, "replace", "-f", "-", stdin=stale)
    home.kubectl("patch", "configmap", "one", "--type=json", "-p", '[{"op":"remove","path":"/data/own"}]')
    failing = '[{"op":"test","path":"/data/a","value":"9"}]'
    assert "testing value /data/a failed" in refused(home, "patch", "configmap", "one", "--type=json", "-p", failing)
    home.kubectl("replace", "--force", "-f", "-", stdin=written(c="4"))
    assert home.read("configmap", "one")["data"] == {"c": "4"}
    home.kubectl("apply", "-f", "-", stdin=written(c="4"))
    two = json.dumps({**config("two"), "metadata": {"name": "two", "labels": {"set": "a"}}})
    prune = ("--prune", "-l", "set=a", "--prune-allowlist=core/v1/ConfigMap")
    assert "configmap/one pruned" in home.kubectl("apply", *prune, "-f", "-", stdin=two).stdout


def test_bad_input_is_told_by_path(home: Product) -> None:
    made = pod("bad", {**container(), "imagePullPolice": "Never"}, bogus=1)
    said = refused(home, "create", "-f", "-", stdin=json.dumps(made))
    assert 'unknown field "spec.bogus"' in said and 'unknown field "spec.containers[0].imagePullPolice"' in said
    warned = home.kubectl("create", "--validate=warn", "--dry-run=server", "-f", "-", stdin=json.dumps(made)).stderr
    assert 'Warning: unknown field "spec.bogus"' in warned
    twice = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"d"},"data":{"a":"b","a":"c"}}'
    assert 'duplicate field "data.a"' in refused(home, "create", "--raw", "/api/v1/namespaces/default/configmaps?fieldValidation=Strict",
                                                 "-f", "-", stdin=twice)  # fmt: skip
    ports = pod("bad", container(ports=[{"containerPort": 99999}]))
    assert "spec.containers[0].ports[0].containerPort" in refused(home, "create", "-f", "-", stdin=json.dumps(ports))
    for unknown in ("apps/v1, Kind=StatefulSet", "example.com/v1, Kind=Thing"):
        version, kind = unknown.split(", Kind=")
        thing = {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}}
        assert f'no matches for kind "{kind}"' in refused(home, "apply", "-f", "-", stdin=json.dumps(thing))


def test_namespaces_end_with_their_content(home: Product) -> None:
    home.kubectl("create", "namespace", "busy")
    home.kubectl("-n", "busy", "create", "configmap", "one")
    home.kubectl("-n", "busy", "apply", "-f", "-", stdin=json.dumps(pod("runs")))
    hold = {**config("held"), "metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
    home.kubectl("-n", "busy", "apply", "-f", "-", stdin=json.dumps(hold))
    home.kubectl("delete", "namespace", "busy", "--wait=false")
    wait(lambda: "example.com/hold" in home.kubectl("get", "namespace", "busy", "-o", "yaml").stdout, "it says what holds it", 20)
    assert "because it is being terminated" in refused(home, "-n", "busy", "create", "configmap", "two")
    home.kubectl("-n", "busy", "patch", "configmap", "held", "--type=json", "-p", '[{"op":"remove","path":"/metadata/finalizers"}]')
    home.kubectl("wait", "--for=delete", "namespace/busy", "--timeout=45s")


def test_a_watch_tells_of_nothing_but_its_kind(home: Product) -> None:
    """Resumed from an older revision, when other kinds were written in between."""
    start = home.kubectl("get", "configmaps", "-o", "jsonpath={.metadata.resourceVersion}").stdout or "1"
    home.kubectl("run", "seen", f"--image={IMAGE}", "--command", "--", "sleep", "100")
    ready(home, "seen")
    path = f"/api/v1/namespaces/default/pods?watch=1&resourceVersion={start}&timeoutSeconds=1"
    lines = home.kubectl("get", "--raw", path).stdout.splitlines()
    assert lines and {json.loads(line)["object"]["kind"] for line in lines} == {"Pod"}
    home.kubectl("delete", "pod", "seen", "--now")


def test_the_node(home: Product) -> None:
    node = home.value(".items[0].metadata.name", "nodes")
    home.kubectl("taint", "node", node, "own=yes:NoSchedule")
    apply(home, pod("kept-out"), pod("let-in", tolerations=[{"key": "own", "operator": "Exists"}]))
    ready(home, "let-in")
    assert home.value(".status.phase", "pod", "kept-out") == "Pending"
    home.kubectl("taint", "node", node, "own-")
    ready(home, "kept-out")
    done = home.kubectl("drain", node, "--force", "--timeout=40s")
    assert "drained" in done.stdout and "kubevirt/" not in done.stdout
    home.kubectl("uncordon", node)
    assert home.kubectl("get", "pods", "kept-out", "--ignore-not-found").stdout == ""


def test_describe_and_explain(home: Product) -> None:
    for kind in ("node", "pvc", "pv", "service", "serviceaccount", "configmap", "storageclass", "namespace", "endpointslice"):
        home.kubectl("describe", kind)
    assert "List of environment variables" in home.kubectl("explain", "pod.spec.containers.env").stdout
    assert "virtualmachines" in home.kubectl("api-resources").stdout
    assert "ephemeral containers are disabled" in refused(home, "debug", "-n", "kubevirt", "virt-api", f"--image={IMAGE}")
    assert "not available" in refused(home, "top", "pods")


def test_two_containers_share_a_network(home: Product) -> None:
    locked = {"runAsUser": 0, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    apply(home, pod("two", container(SERVE, "a"), container(name="c", securityContext=locked, volumeMounts=[mount("t", "/t")]),
                    volumes=[{"name": "t", "emptyDir": {}}]))  # fmt: skip
    ready(home, "two")
    look = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080').read().decode())"
    wait(lambda: home.kubectl("exec", "two", "-c", "c", "--", "python3", "-c", look, check=False).stdout == "two\n\n", "it answers", 10)
    assert "Read-only" in home.kubectl("exec", "two", "-c", "c", "--", "touch", "/x", check=False).stderr
    assert "CapEff:\t0000000000000000" in home.kubectl("exec", "two", "-c", "c", "--", "cat", "/proc/self/status").stdout
    home.kubectl("delete", "pod", "two", "--now")
