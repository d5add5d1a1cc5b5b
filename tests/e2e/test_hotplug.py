"""examples/04-hotplug as its README says, without virtctl; then the request that virtctl sends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .product import ROOT, Product, wait

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
HOTPLUG = ROOT / "examples" / "04-hotplug"
URL = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/plug"
VIRTCTL = {"name": "data", "disk": {"name": "", "disk": {"bus": "scsi"}, "serial": "data"},
           "volumeSource": {"persistentVolumeClaim": {"claimName": "data", "hotpluggable": True}}}  # fmt: skip


def row(home: Product) -> dict[str, Any]:
    found = home.read("vmi", "plug")["status"].get("volumeStatus", [])
    return next((one for one in found if one["name"] == "data"), {})


def test_the_example(home: Product) -> None:
    home.kubectl("apply", "-f", str(HOTPLUG / "claim.yaml"), "-f", str(HOTPLUG / "vm.yaml"))
    home.kubectl("wait", "vm", "plug", "--for=condition=Ready", "--timeout=120s", timeout_s=130)
    for body in ((HOTPLUG / "addvolume.json").read_text(), json.dumps(VIRTCTL)):
        home.kubectl("replace", "--raw", f"{URL}/addvolume", "-f", "-", stdin=body)
        wait(lambda: row(home).get("phase") == "Ready", f"the disk is there: {row(home)}", 60)
        assert row(home)["target"] == "sda"
        assert "Successfully attach hotplugged volume data to VM" in home.kubectl("describe", "vmi", "plug").stdout
        home.kubectl("replace", "--raw", f"{URL}/removevolume", "-f", str(HOTPLUG / "removevolume.json"))
        wait(lambda: not row(home), f"the disk is gone: {row(home)}", 90)
