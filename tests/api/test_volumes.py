"""addvolume and removevolume: what is asked, what is answered, what is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Caller

Object = dict[str, Any]
VMS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines"
VMIS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
SUB = "/apis/subresources.kubevirt.io/v1/namespaces/default"
DISK: Object = {"disk": {"bus": "scsi"}}
SOURCE: Object = {"dataVolume": {"name": "data"}}
SPEC: Object = {"domain": {"devices": {"disks": [{"name": "root", "disk": {"bus": "virtio"}}]}, "memory": {"guest": "1Gi"}},
                "volumes": [{"name": "root", "containerDisk": {"image": "a"}}]}  # fmt: skip


async def asked(call: Caller, resource: str, verb: str, body: Object | None) -> tuple[int, str]:
    answer = await call.send("PUT", f"{SUB}/{resource}/m/{verb}", body)
    return answer.status, orjson.loads(answer.body)["message"].partition('"m": ')[2] if answer.body else ""


async def made(call: Caller, **spec: Any) -> None:
    template = {"spec": SPEC | spec}
    await call("POST", VMS, {"metadata": {"name": "m"}, "spec": {"runStrategy": "Halted", "template": template}})


async def test_a_volume_is_kept_in_the_template_until_it_is_removed(call: Caller) -> None:
    await made(call)
    before = (await call("GET", f"{VMS}/m"))["spec"]["template"]["spec"]
    body = {"name": "data", "disk": {"serial": "s1", "disk": {}}, "volumeSource": SOURCE}
    assert await asked(call, "virtualmachines", "addvolume", body | {"dryRun": ["All"]}) == (202, "")
    assert (await call("GET", f"{VMS}/m"))["spec"]["template"]["spec"] == before
    assert await asked(call, "virtualmachines", "addvolume", body) == (202, "")
    spec = (await call("GET", f"{VMS}/m"))["spec"]["template"]["spec"]
    assert spec["volumes"][1:] == [{"name": "data", "dataVolume": {"name": "data", "hotpluggable": True}}]
    assert spec["domain"]["devices"]["disks"][1:] == [{"name": "data", "serial": "s1", "disk": {"bus": "scsi"}}]
    assert await asked(call, "virtualmachines", "removevolume", {"name": "data"}) == (202, "")
    assert (await call("GET", f"{VMS}/m"))["spec"]["template"]["spec"] == before


@pytest.mark.parametrize(("verb", "body", "told"), [
    ("addvolume", {"name": "root", "disk": DISK, "volumeSource": SOURCE},
     "Unable to add volume [root] because volume with that name already exists"),
    ("addvolume", {"name": "again", "disk": DISK, "volumeSource": {"persistentVolumeClaim": {"claimName": "old"}}},
     "Unable to add volume source [old] because it already exists"),
    ("removevolume", {"name": "none"}, "Unable to remove volume [none] because it does not exist"),
    ("removevolume", {"name": "root"}, "Unable to remove volume [root] because it is not hotpluggable"),
])  # fmt: skip
async def test_what_cannot_be_done(call: Caller, verb: str, body: Object, told: str) -> None:
    kept = {"name": "kept", "persistentVolumeClaim": {"claimName": "old", "hotpluggable": True}}
    domain = {"devices": {"disks": [{"name": one, "disk": {"bus": "scsi"}} for one in ("root", "kept")]},
              "memory": {"guest": "1Gi"}}  # fmt: skip
    await made(call, volumes=[*SPEC["volumes"], kept], domain=domain)
    assert await asked(call, "virtualmachines", verb, body) == (409, told)


@pytest.mark.parametrize(("verb", "body"), [
    ("addvolume", None), ("removevolume", None), ("addvolume", {"disk": DISK, "volumeSource": SOURCE}),
    ("removevolume", {}), ("addvolume", {"name": "a", "volumeSource": SOURCE}), ("addvolume", {"name": "a", "disk": DISK}),
    ("addvolume", {"name": "a", "disk": DISK, "volumeSource": {"emptyDisk": {}}}),
    ("addvolume", {"name": "a", "disk": {"disk": {"bus": "sata"}}, "volumeSource": SOURCE}),
    ("addvolume", {"name": "a", "disk": {"cdrom": {}}, "volumeSource": SOURCE}),
])  # fmt: skip
async def test_what_is_not_said_well(call: Caller, verb: str, body: Object | None) -> None:
    await made(call)
    assert (await asked(call, "virtualmachines", verb, body))[0] == 400


async def test_an_instance_must_run(call: Caller) -> None:
    body = {"name": "data", "disk": DISK, "volumeSource": SOURCE}
    assert (await asked(call, "virtualmachineinstances", "addvolume", body))[0] == 404
    await call("POST", VMIS, {"metadata": {"name": "m"}, "spec": SPEC})
    assert await asked(call, "virtualmachineinstances", "addvolume", body) == (409, "VMI is not running")
    record = await call("GET", f"{VMIS}/m")
    await call("PUT", f"{VMIS}/m/status", {**record, "status": {"phase": "Running"}})
    assert await asked(call, "virtualmachineinstances", "addvolume", body) == (202, "")
    plugged = await call("GET", f"{VMIS}/m")
    assert plugged["spec"]["volumes"][1]["dataVolume"] == {"name": "data", "hotpluggable": True}
    assert plugged["metadata"]["annotations"]["kubevirt.io/ephemeral-hotplug-volumes"] == "data"
    assert await asked(call, "virtualmachineinstances", "removevolume", {"name": "data"}) == (202, "")
    assert "kubevirt.io/ephemeral-hotplug-volumes" not in (await call("GET", f"{VMIS}/m"))["metadata"].get("annotations", {})
