"""Kind: names, paths, and what is kept when objects are written."""

from __future__ import annotations

from pathlib import Path

import pytest

import vmpod.kinds as kinds
from vmpod.kinds import DEPLOYMENT, KINDS, POD, VIRTUALMACHINE, VIRTUALMACHINEINSTANCE, find, for_kind, for_object

from .objects import deployment, pod, vm, vmi


def test_every_file_of_a_kind_is_in_the_tuple() -> None:
    folder = Path(kinds.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "kind", "schema"}
    assert {kind.kind.lower() for kind in KINDS} == files


def test_names_are_unique() -> None:
    assert len({(kind.group, kind.plural) for kind in KINDS}) == len(KINDS)
    assert len({kind.resource for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize(("group", "version", "plural", "wanted"), [
    ("", "v1", "pods", POD), ("apps", "v1", "deployments", DEPLOYMENT),
    ("kubevirt.io", "v1alpha3", "virtualmachines", VIRTUALMACHINE), ("apps", "v1beta1", "deployments", None),
    ("", "v1", "deployments", None),
])
def test_find(group: str, version: str, plural: str, wanted: kinds.Kind | None) -> None:
    assert find(group, version, plural) is wanted


def test_for_kind_and_object() -> None:
    assert for_kind("kubevirt.io/v1alpha3", "VirtualMachine") is VIRTUALMACHINE
    assert for_kind("v1", "Deployment") is None
    assert for_object(pod()) is POD
    assert for_object({}) is None


@pytest.mark.parametrize(("kind", "args", "path"), [
    (POD, {}, "/api/v1/pods"),
    (POD, {"namespace": "a", "name": "b", "sub": "log"}, "/api/v1/namespaces/a/pods/b/log"),
    (DEPLOYMENT, {"namespace": "a"}, "/apis/apps/v1/namespaces/a/deployments"),
    (VIRTUALMACHINE, {"version": "v1alpha3"}, "/apis/kubevirt.io/v1alpha3/virtualmachines"),
    (kinds.NODE, {"namespace": "ignored", "name": "n"}, "/api/v1/nodes/n"),
])
def test_path(kind: kinds.Kind, args: dict[str, str], path: str) -> None:
    assert kind.path(**args) == path


def test_names_of_a_kind() -> None:
    assert (POD.resource, DEPLOYMENT.resource) == ("pods", "deployments.apps")
    assert (POD.qualified, DEPLOYMENT.qualified) == ("Pod", "Deployment.apps")
    assert (POD.api_version, DEPLOYMENT.api_version) == ("v1", "apps/v1")
    assert VIRTUALMACHINE.versions == ("v1", "v1alpha3")
    assert VIRTUALMACHINEINSTANCE.singular_name == "virtualmachineinstance"
    assert VIRTUALMACHINEINSTANCE.has_status
    assert "status" not in VIRTUALMACHINEINSTANCE.subresources


def test_create_drops_what_the_server_owns() -> None:
    obj = vm()
    obj["metadata"] |= {"generation": 7, "creationTimestamp": "2021-07-04T15:03:08Z", "uid": "x", "selfLink": "y"}
    obj["status"] = {"ready": True}
    made = VIRTUALMACHINE.prepare_create(VIRTUALMACHINE.default(obj))
    assert made["metadata"] == {"name": "vm1", "namespace": "default", "generation": 1}
    assert "status" not in made


def test_create_writes_the_first_status() -> None:
    assert POD.prepare_create(POD.default(pod()))["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    status = VIRTUALMACHINEINSTANCE.prepare_create(VIRTUALMACHINEINSTANCE.default(vmi()))["status"]
    assert status["phase"] == "Pending"
    assert status["currentCPUTopology"] == {"cores": 1, "sockets": 1, "threads": 1}
    assert status["memory"]["guestCurrent"] == "128Mi"


def test_update_keeps_what_the_server_owns() -> None:
    old = DEPLOYMENT.prepare_create(DEPLOYMENT.default(deployment()))
    old["metadata"] |= {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    old["status"] = {"replicas": 1}
    new = DEPLOYMENT.default(deployment(replicas=3))
    new["metadata"]["uid"] = "other"
    new["status"] = {"replicas": 9}
    written = DEPLOYMENT.prepare_update(new, old)
    assert written["metadata"]["uid"] == "u"
    assert written["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert written["metadata"]["generation"] == 2
    assert written["status"] == {"replicas": 1}


def test_generation_counts_wishes_only() -> None:
    old = VIRTUALMACHINE.prepare_create(VIRTUALMACHINE.default(vm()))
    new = VIRTUALMACHINE.default(vm())
    new["metadata"]["labels"] = {"a": "b"}
    assert VIRTUALMACHINE.prepare_update(new, old)["metadata"]["generation"] == 1
    halted = VIRTUALMACHINE.default(vm(runStrategy="Halted"))
    assert VIRTUALMACHINE.prepare_update(halted, old)["metadata"]["generation"] == 2


@pytest.mark.parametrize("name", ["Web", "a_b", "-a", "a" * 254])
def test_bad_names(name: str) -> None:
    obj = pod()
    obj["metadata"]["name"] = name
    assert any(error.path == "metadata.name" for error in POD.validate(POD.default(obj), None))


def test_metadata_texts() -> None:
    obj = pod()
    obj["metadata"] |= {"labels": {"a b": "c", "d": "e f"}, "annotations": {"x y": "z", "n": 5}}
    found = [str(error) for error in POD.validate(POD.default(obj), None)]
    assert found[0].startswith('metadata.labels: Invalid value: "a b": name part must consist of alphanumeric')
    assert found[1].startswith('metadata.labels: Invalid value: "e f": a valid label must be an empty string or')
    assert found[2].startswith('metadata.annotations: Invalid value: "x y": name part must consist of')
    assert found[3] == "metadata.annotations[n]: Invalid value: 5: must be a string"


def test_a_name_or_a_prefix_is_needed() -> None:
    obj = pod()
    del obj["metadata"]["name"]
    told = [str(error) for error in POD.validate(POD.default(obj), None)]
    assert told == ["metadata.name: Required value: name or generateName is required"]
    obj["metadata"]["generateName"] = "web-"
    assert POD.validate(POD.default(obj), None) == []


def test_one_controller_at_most() -> None:
    owner = {"apiVersion": "v1", "kind": "A", "name": "a", "uid": "1", "controller": True}
    obj = pod()
    obj["metadata"]["ownerReferences"] = [owner, owner | {"name": "b"}, {"kind": "C"}]
    told = [str(error) for error in POD.validate(POD.default(obj), None)]
    assert any("Only one reference can have Controller set to true" in text for text in told)
    assert 'metadata.ownerReferences[2].uid: Invalid value: "": must not be empty' in told


def test_kinds_are_compared_by_identity() -> None:
    assert len({*KINDS}) == len(KINDS)
    assert kinds.Kind("", "v1", "Pod", "pods", True) != kinds.Kind("", "v1", "Pod", "pods", True)
