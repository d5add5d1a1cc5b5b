"""A disk comes and goes while its machine runs, and is an ordinary one after a restart."""

from __future__ import annotations

from typing import Any

import pytest

from ..e2e.product import Product, wait
from . import machines
from .machines import ask, claim, machine
from .pods import apply

pytestmark = [pytest.mark.host, pytest.mark.timeout(200)]
_SOURCE = {"persistentVolumeClaim": {"claimName": "more"}}
_BODY: dict[str, Any] = {"name": "more", "disk": {"disk": {"bus": "scsi"}, "serial": "m1"}, "volumeSource": _SOURCE}


@pytest.fixture(scope="module", autouse=True)
def disks(tmp_path_factory: pytest.TempPathFactory) -> None:
    machines.build_disks(tmp_path_factory.mktemp("disks"))


def row(home: Product, volume: str) -> dict[str, Any]:
    found = home.read("vmi", "plug")["status"].get("volumeStatus", [])
    return next((one for one in found if one["name"] == volume), {})


def test_a_disk_comes_and_goes(home: Product) -> None:
    wanted = machine("plug")
    wanted["spec"]["template"]["spec"]["domain"]["devices"]["autoattachPodInterface"] = False
    apply(home, claim("more"), wanted)
    machines.is_shown(home, "plug", "Running")
    machines.echoes(home, "plug")
    before = machines.instance(home, "plug")
    for verb in ("virtualmachines", "virtualmachineinstances"):
        assert ask(home, verb, "nobody", "addvolume", _BODY)[0] == 404
    assert ask(home, "virtualmachines", "plug", "addvolume", _BODY) == (202, "")
    wait(lambda: row(home, "more").get("phase") == "Ready", f"the disk is plugged: {row(home, 'more')}", 30, 0.2)
    assert row(home, "more")["target"] == "sda"
    code, told = ask(home, "virtualmachines", "plug", "addvolume", _BODY)
    assert code == 409 and "because volume with that name already exists" in told
    assert not machines.condition(home, "vm", "plug", "RestartRequired")
    assert ask(home, "virtualmachines", "plug", "removevolume", {"name": "more"}) == (202, "")
    wait(lambda: not row(home, "more"), "the disk is unplugged", 30, 0.2)
    assert machines.instance(home, "plug") == before
