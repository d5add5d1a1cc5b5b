"""Objects into container specifications."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.base.errors import Problem
from vmpod.drivers.podman.images import Image
from vmpod.model.meta import Object
from vmpod.node.prepared import PreparedVolume
from vmpod.node.translate import env, etc, resources
from vmpod.node.translate.env import Sources
from vmpod.node.translate.files import files
from vmpod.node.translate.mounts import volume_mounts
from vmpod.node.translate.pod import Setting, translate
from vmpod.node.translate.security import security
from vmpod.node.translate.unsupported import unsupported

CONFIG = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"A": "1", "odd key": "x"}, "binaryData": {"B": "Yg=="}}
SECRET = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"P": "cHc="}}


def pod(container: Object | None = None, **spec: Any) -> Object:
    main = {"name": "a", "image": "i"} | (container or {})
    return {"metadata": {"name": "p", "namespace": "ns", "uid": "u-1", "labels": {"app": "x"}},
            "spec": {"containers": [main], **spec}}


def sources(**rest: Any) -> Sources:
    return Sources(
        configmap=lambda name: CONFIG if name == "c" else None, secret=lambda name: SECRET if name == "s" else None,
        node_name="n1", host_ip="10.0.0.1", pod_ips=("10.1.0.2", "fd00::2"), cpus=4, memory_bytes=1 << 30, **rest,
    )


def environment(container: Object, **rest: Any) -> dict[str, str]:
    return env.environment(pod(container), {"name": "a"} | container, sources(**rest))


def test_values_refer_to_earlier_ones() -> None:
    found = environment({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)-$$(A)-$(NO)"}, {"name": "E"}]})
    assert found == {"A": "1", "B": "1-$(A)-$(NO)", "E": ""}


def test_values_from_everywhere() -> None:
    found = environment({
        "envFrom": [{"prefix": "C_", "configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}}],
        "env": [
            {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "A"}}},
            {"name": "O", "valueFrom": {"secretKeyRef": {"name": "none", "key": "A", "optional": True}}},
            {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        ],
    })
    assert found == {"C_A": "1", "P": "pw", "K": "1", "L": "x", "IP": "10.1.0.2", "N": "n1", "CPU": "4"}


@pytest.mark.parametrize(
    ("container", "why"),
    [
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}}]}, 'secret "x" not found'),
        ({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]},
         "couldn't find key k in ConfigMap ns/c"),
        ({"envFrom": [{"configMapRef": {"name": "x"}}]}, 'configmap "x" not found'),
    ],
)
def test_what_is_missing_is_told_as_the_kubelet_does(container: Object, why: str) -> None:
    with pytest.raises(Problem) as caught:
        environment(container)
    assert (caught.value.why, caught.value.reason) == (why, "CreateContainerConfigError")


def test_service_links() -> None:
    service = {"metadata": {"name": "my-db", "namespace": "ns"},
               "spec": {"clusterIP": "10.2.0.5", "ports": [{"port": 5432, "name": "sql"}]}}
    found = environment({}, services=(service,))
    assert found["MY_DB_SERVICE_HOST"] == "10.2.0.5" and found["MY_DB_SERVICE_PORT_SQL"] == "5432"
    assert found["MY_DB_PORT_5432_TCP"] == "tcp://10.2.0.5:5432"
    off = pod(enableServiceLinks=False)
    assert env.environment(off, {"name": "a"}, sources(services=(service,))) == {}


@given(st.text(alphabet="$AB", max_size=12))
def test_expansion_without_variables_only_halves_dollars(text: str) -> None:
    assert "$$" not in text or len(env.expand(text, {})) < len(text)
    if "$$" not in text:
        assert env.expand(text, {}) == text


def test_name_resolution_by_policy() -> None:
    own = "nameserver 9.9.9.9\nsearch corp.example\noptions timeout:1\n"
    first = etc.resolv_conf(pod(), "10.2.0.10", own)
    assert first == ("search ns.svc.cluster.local svc.cluster.local cluster.local corp.example\n"
                     "nameserver 10.2.0.10\noptions ndots:5\n")
    assert etc.resolv_conf(pod(dnsPolicy="Default"), "10.2.0.10", own).startswith("search corp.example\nnameserver 9.9.9.9")
    config = {"nameservers": ["1.1.1.1"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}]}
    assert etc.resolv_conf(pod(dnsPolicy="None", dnsConfig=config), "x", own) == (
        "search a.b\nnameserver 1.1.1.1\noptions ndots:2\n")


def test_guests_are_told_what_their_pods_are() -> None:
    own = "nameserver 9.9.9.9\nsearch corp.example\n"
    found = etc.guest_resolution(pod(subdomain="db"), "10.2.0.10", own)
    assert found.servers == ("10.2.0.10",)
    assert found.searches[:2] == ("db.ns.svc.cluster.local", "ns.svc.cluster.local")
    config = {"nameservers": ["1.1.1.1", "fd00::1"], "searches": ["a.b"]}
    alone = etc.guest_resolution(pod(subdomain="db", dnsPolicy="None", dnsConfig=config), "x", own)
    assert (alone.servers, alone.searches) == (("1.1.1.1", "fd00::1"), ("a.b",))


def test_hosts() -> None:
    text = etc.hosts(pod(hostAliases=[{"ip": "1.2.3.4", "hostnames": ["x", "y"]}], subdomain="sub"), ["10.1.0.2", "fd00::2"])
    assert "10.1.0.2\tp.sub.ns.svc.cluster.local\tp\n" in text and text.endswith("1.2.3.4\tx\ty\n")


def test_mounts() -> None:
    volumes = {"v": PreparedVolume(Path("/v")), "r": PreparedVolume(Path("/r"), readonly=True)}
    wanted = {"volumeMounts": [
        {"name": "v", "mountPath": "/a", "subPathExpr": "$(X)/y", "mountPropagation": "HostToContainer"},
        {"name": "r", "mountPath": "/b"},
    ]}
    first, second = volume_mounts(wanted, volumes, {"X": "x"})
    assert (first.mount.source, first.within, first.mount.propagation) == ("/v/x/y", "/v", "rslave")
    assert second.mount.read_only and second.within == ""


@pytest.mark.parametrize(("mounted", "sub", "expected"), [
    ({}, "", [("/v", "/d", True), ("/v/disk.img", "/d/disk.img", False)]),
    ({"readOnly": True}, "", [("/v", "/d", True), ("/v/disk.img", "/d/disk.img", True)]),
    ({}, "disk.img", [("/v/disk.img", "/d", False)]),
])  # fmt: skip
def test_a_shown_disk_is_all_that_is_written_in_its_folder(
    mounted: Object, sub: str, expected: list[tuple[str, str, bool]]
) -> None:
    wanted = {"volumeMounts": [{"name": "v", "mountPath": "/d", "subPath": sub, **mounted}]}
    made = volume_mounts(wanted, {"v": PreparedVolume(Path("/v"), file=Path("/v/disk.img"))}, {})
    assert [(one.mount.source, one.mount.target, one.mount.read_only) for one in made] == expected


def test_there_is_nothing_beside_a_shown_disk() -> None:
    wanted = {"volumeMounts": [{"name": "v", "mountPath": "/d", "subPath": "more"}]}
    with pytest.raises(Problem, match=r"there is only disk.img in it"):
        volume_mounts(wanted, {"v": PreparedVolume(Path("/v"), file=Path("/v/disk.img"))}, {})


@pytest.mark.parametrize("sub", ["../x", "/x", "a/../../x"])
def test_a_sub_path_stays_in_its_volume(sub: str) -> None:
    wanted = {"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": sub}]}
    with pytest.raises(Problem, match="below the volume"):
        volume_mounts(wanted, {"v": PreparedVolume(Path("/v"))}, {})


def test_security() -> None:
    own = {"runAsUser": 5, "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}, "allowPrivilegeEscalation": False,
           "readOnlyRootFilesystem": True}
    found = security(pod(securityContext={"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3}), {"securityContext": own}, "")
    assert (found["user"], found["groups"], found["cap_add"], found["cap_drop"]) == ("5:2", ("3",), ("NET_ADMIN",), ("ALL",))
    assert found["no_new_privileges"] and found["read_only"] and not found["privileged"]


@pytest.mark.parametrize(("user", "image_user"), [(0, ""), (None, ""), (None, "root"), (None, "name")])
def test_root_is_refused_where_it_must_not_be(user: int | None, image_user: str) -> None:
    own = {"runAsNonRoot": True} | ({} if user is None else {"runAsUser": user})
    with pytest.raises(Problem, match=r"root"):
        security(pod(), {"name": "a", "securityContext": own}, image_user)


def test_limits_and_fields() -> None:
    container = {"resources": {"limits": {"cpu": "250m", "memory": "64Mi"}, "requests": {"cpu": "100m"}}}
    found = resources.limits(container)
    assert (found.memory_bytes, found.cpu_milli, found.cpu_shares) == (64 << 20, 250, 102)
    assert resources.field(container, "limits.cpu", "1", cpus=8, memory_bytes=0) == "1"
    assert resources.field(container, "limits.memory", "1Mi", cpus=8, memory_bytes=0) == "64"
    assert resources.field({}, "limits.cpu", None, cpus=8, memory_bytes=0) == "8"


def test_a_whole_container() -> None:
    main = {"name": "a", "image": "i:1", "command": ["run", "$(A)"], "args": ["--x"], "env": [{"name": "A", "value": "b"}],
            "workingDir": "/w", "stdin": True, "tty": True, "terminationMessagePath": "/tmp/last"}
    setting = Setting("home", 2, 20, Image("id", "", (), (), 1, name="localhost/i:1"), "/run/netns/n", sources(),
                      resolv_conf="/etc1", hosts="/hosts1", termination="/t1")
    spec = translate(pod(main), main, setting).spec
    assert (spec.image, spec.entrypoint, spec.command) == ("localhost/i:1", ("run", "b"), ("--x",))
    assert [m.target for m in spec.mounts] == ["/etc/resolv.conf", "/etc/hosts", "/tmp/last"]
    assert spec.labels["io.vmpod.attempt"] == "2" and spec.labels["io.vmpod.backoff"] == "20"
    assert spec.hostname == "p" and spec.env["HOSTNAME"] == "p" and spec.tty and spec.stdin
    assert spec.name == "vmpod-home_ns_p_a_u-1_2"


def test_volumes_made_of_objects() -> None:
    def lookup(kind: str, name: str) -> Object | None:
        return {("ConfigMap", "c"): CONFIG, ("Secret", "s"): SECRET}.get((kind, name))

    volume = {"name": "v", "projected": {"defaultMode": 0o400, "sources": [
        {"configMap": {"name": "c", "items": [{"key": "A", "path": "d/a", "mode": 0o600}]}},
        {"secret": {"name": "s"}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]}}
    found = files(volume, pod(), lookup)
    assert found is not None
    assert [(f.path, f.content, f.mode) for f in found] == [
        ("d/a", b"1", 0o600), ("P", b"pw", 0o400), ("labels", b'app="x"', 0o400)]
    assert files({"name": "e", "emptyDir": {}}, pod(), lookup) is None
    with pytest.raises(Problem, match='configmap "no" not found'):
        files({"name": "v", "configMap": {"name": "no"}}, pod(), lookup)


def test_unsupported_fields_are_named_by_path() -> None:
    odd = pod({"livenessProbe": {"grpc": {"port": 1}}, "ports": [{"containerPort": 1, "hostPort": 1}]}, shareProcessNamespace=True)
    assert [said.partition(":")[0] for said in unsupported(odd)] == [
        "spec.shareProcessNamespace", "spec.containers[0].livenessProbe.grpc", "spec.containers[0].ports[0].hostPort"]
