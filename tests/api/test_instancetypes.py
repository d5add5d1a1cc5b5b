"""Machines that leave things to instance types and preferences, as the API admits and expands them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Caller

TYPES = "/apis/instancetype.kubevirt.io/v1beta1"
VMS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines"
SUB = "/apis/subresources.kubevirt.io/v1/namespaces/default"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
Object = dict[str, Any]


def vm(volume: Object | None = None, domain: Object | None = None, **spec: Any) -> Object:
    source = volume or {"containerDisk": {"image": "a:1"}}
    inside = {"domain": {"devices": {}, **(domain or {})}, "volumes": [{"name": "root", **source}]}
    return {"metadata": {"name": "m"}, "spec": {"runStrategy": "Halted", "template": {"spec": inside}, **spec}}


@pytest.fixture
async def served(call: Caller) -> Caller:
    """An API with an instance type `two` and a preference `quick`, both of the cluster, and one of each in default."""
    size = {"cpu": {"guest": 2}, "memory": {"guest": "128Mi"}}
    likes = {"devices": {"preferredDiskBus": "virtio"}, "machine": {"preferredMachineType": "pc"},
             "volumes": {"preferredStorageClassName": "fast"}}
    for place in ("cluster", ""):
        path = TYPES if place else f"{TYPES}/namespaces/default"
        await call("POST", f"{path}/virtualmachine{place}instancetypes", {"metadata": {"name": "two"}, "spec": size})
        await call("POST", f"{path}/virtualmachine{place}preferences", {"metadata": {"name": "quick"}, "spec": likes})
    return call


async def test_what_is_not_there_is_named(call: Caller) -> None:
    told = await call("POST", VMS, vm(instancetype={"name": "u9"}, preference={"name": "x", "kind": "VirtualMachinePreference"}), code=422)
    assert [(one["field"], one["reason"]) for one in told["details"]["causes"]] == [
        ("spec.instancetype", "FieldValueNotFound"), ("spec.preference", "FieldValueNotFound")]
    assert ('Failure to find instancetype: virtualmachineclusterinstancetypes.instancetype.kubevirt.io "u9" not found'
            in told["message"])
    told = await call("POST", VMS, vm(instancetype={"name": "u9", "kind": "Flavor"}), code=422)
    assert "got unexpected kind in InstancetypeMatcher: Flavor" in told["message"]


async def test_the_machine_is_stored_as_written_and_judged_whole(served: Caller) -> None:
    template = {"metadata": {"name": "disk"}, "spec": {"source": {"blank": {}}, "storage": {"resources": {"requests": {"storage": "1Gi"}}}}}
    made = await served("POST", VMS, vm({"dataVolume": {"name": "disk"}}, instancetype={"name": "two"}, preference={"name": "quick"},
                                        dataVolumeTemplates=[template]))  # fmt: skip
    spec = made["spec"]
    assert spec["instancetype"] == {"name": "two", "kind": "virtualmachineclusterinstancetype"}
    assert spec["preference"] == {"name": "quick", "kind": "virtualmachineclusterpreference"}
    assert spec["template"]["spec"]["domain"] == {"devices": {}, "machine": {"type": "pc"}}
    assert spec["dataVolumeTemplates"][0]["spec"]["storage"]["storageClassName"] == "fast"
    bad = vm(domain={"devices": {"disks": [{"name": "gone", "disk": {}}]}}, instancetype={"name": "two"})
    assert "not found" in (await served("POST", VMS, bad | {"metadata": {"name": "n"}}, code=422))["message"]


async def test_a_conflict_is_refused_with_its_path(served: Caller) -> None:
    bad = vm(domain={"cpu": {"sockets": 1}, "memory": {"guest": "1Gi"}}, instancetype={"name": "two", "kind": "VirtualMachineInstancetype"})
    causes = (await served("POST", VMS, bad, code=422))["details"]["causes"]
    base = "spec.template.spec.domain"
    assert [one["field"] for one in causes] == [f"{base}.cpu.sockets", f"{base}.memory.guest"]
    assert causes[0]["message"].endswith(f"VM field(s) {base}.cpu.sockets conflicts with selected instance type")
    await served("POST", VMS, vm(instancetype={"name": "two"}))
    await served.patch(f"{VMS}/m", {"spec": {"template": {"spec": {"domain": {"cpu": {"cores": 4}}}}}}, code=422)


async def test_requirements_of_a_preference(served: Caller) -> None:
    big = {"requirements": {"cpu": {"guest": 8}}}
    await served("POST", f"{TYPES}/virtualmachineclusterpreferences", {"metadata": {"name": "big"}, "spec": big})
    told = await served("POST", VMS, vm(instancetype={"name": "two"}, preference={"name": "big"}), code=422)
    assert "failure checking preference requirements: insufficient CPU resources of 2 vCPU" in told["message"]


@pytest.mark.parametrize(("labels", "policy", "code", "told"), [
    ({"default-instancetype": "two"}, "", 201, {"name": "two", "kind": "virtualmachineclusterinstancetype"}),
    ({"default-instancetype": "two", "default-instancetype-kind": "VirtualMachineInstancetype"}, "", 201,
     {"name": "two", "kind": "VirtualMachineInstancetype"}),
    ({}, "", 400, "unable to find required instancetype.kubevirt.io/default-instancetype label on the volume"),
    ({}, "Ignore", 201, None),
])
async def test_inference(served: Caller, labels: Object, policy: str, code: int, told: Any) -> None:
    meta = {"name": "c", "labels": {f"instancetype.kubevirt.io/{key}": text for key, text in labels.items()}}
    size = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await served("POST", CLAIMS, {"metadata": meta, "spec": size})
    matcher = {"inferFromVolume": "root"} | ({"inferFromVolumeFailurePolicy": policy} if policy else {})
    domain = {"memory": {"guest": "1Gi"}} if policy else {}
    found = await served("POST", VMS, vm({"persistentVolumeClaim": {"claimName": "c"}}, domain, instancetype=matcher), code=code)
    assert (found["message"] if code == 400 else found["spec"].get("instancetype")) == told


async def test_inference_that_leads_nowhere(served: Caller) -> None:
    for volume, wanted, told in (
        ({"containerDisk": {"image": "a"}}, "root", "unable to infer defaults from volume root as type is not supported"),
        ({"containerDisk": {"image": "a"}}, "other", "unable to find volume other to infer defaults"),
        ({"persistentVolumeClaim": {"claimName": "gone"}}, "root", 'persistentvolumeclaims "gone" not found'),
        ({"dataVolume": {"name": "gone"}}, "root", 'persistentvolumeclaims "gone" not found'),
    ):
        found = await served("POST", VMS, vm(volume, instancetype={"inferFromVolume": wanted}), code=400)
        assert found["message"] == told


async def test_expansion(served: Caller) -> None:
    await served("POST", VMS, vm(instancetype={"name": "two"}, preference={"name": "quick"}))
    whole = await served("GET", f"{SUB}/virtualmachines/m/expand-spec")
    assert "instancetype" not in whole["spec"] and "preference" not in whole["spec"]
    domain = whole["spec"]["template"]["spec"]["domain"]
    assert domain["cpu"] == {"cores": 1, "sockets": 2, "threads": 1} and domain["memory"] == {"guest": "128Mi"}
    assert domain["devices"]["disks"] == [{"name": "root", "disk": {"bus": "virtio"}}]
    sent = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", **vm(instancetype={"name": "two"})}
    assert (await served("PUT", f"{SUB}/expand-vm-spec", sent))["spec"]["template"]["spec"]["domain"]["cpu"]["sockets"] == 2
    sent["spec"]["instancetype"] = {"name": "gone"}
    assert "not found" in (await served("PUT", f"{SUB}/expand-vm-spec", sent, code=404))["message"]
    for body, told in (({"kind": "Pod"}, "Object is not a valid VirtualMachine"),
                       (sent | {"metadata": {"namespace": "other"}}, "VM namespace must be default")):
        assert (await served("PUT", f"{SUB}/expand-vm-spec", body, code=400))["message"] == told
    sent["spec"] = vm(domain={"cpu": {"cores": 1}}, instancetype={"name": "two"})["spec"]
    assert "conflicts with selected instance type" in (await served("PUT", f"{SUB}/expand-vm-spec", sent, code=400))["message"]
    await served("GET", f"{SUB}/virtualmachines/gone/expand-spec", code=404)
    await served("PUT", f"{SUB}/other-vm-spec", sent, code=404)
