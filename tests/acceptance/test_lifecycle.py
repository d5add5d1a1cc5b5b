"""The life of a machine by real kubectl: what restarts, what is kept, what its guest does by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vmpod.testing.guest import GREETING, POWER_OFF, REBOOT

from ..e2e.product import Product, wait
from . import machines
from .machines import (
    DEAF,
    QUICK,
    condition,
    crash,
    echoes,
    heard,
    instance,
    is_shown,
    machine,
    runs_anew,
    shown,
    stream,
    tell,
)
from .pods import apply

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", autouse=True)
def images(host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("images")
    machines.build_disks(folder)
    yield folder
    machines.remove_images(QUICK, DEAF)


def merge(home: Product, name: str, patch: str) -> None:
    home.kubectl("patch", "vm", name, "--type=merge", "-p", patch)


def revision(home: Product) -> list[str]:
    return home.kubectl("get", "controllerrevisions", "-o", "name").stdout.split()


def test_what_is_kept_from_birth_to_the_last_orphan(home: Product) -> None:
    apply(home, machine("kept"))
    is_shown(home, "kept", "Running")
    uid, first = home.value(".metadata.uid", "vm", "kept"), instance(home, "kept")
    assert revision(home) == [f"controllerrevision.apps/revision-start-vm-{uid}-1"]
    vmi = home.read("vmi", "kept")
    assert vmi["status"]["virtualMachineRevisionName"] == f"revision-start-vm-{uid}-1"
    assert vmi["status"]["qosClass"] == "Burstable"
    assert set(vmi["metadata"]["finalizers"]) == {"foregroundDeleteVirtualMachine", "kubevirt.io/virtualMachineControllerFinalize"}
    assert (vmi["spec"]["domain"]["cpu"]["maxSockets"], vmi["spec"]["domain"]["memory"]["maxGuest"]) == (4, "256Mi")

    merge(home, "kept", '{"spec":{"runStrategy":"Manual"}}')
    wait(lambda: home.value(".status.observedGeneration", "vm", "kept") == "2", "the instance is in step", 10, 0.1)
    merge(home, "kept", '{"spec":{"template":{"spec":{"tolerations":[{"key":"k","operator":"Exists"}]}}}}')
    wait(lambda: home.value(".spec.tolerations[0].key", "vmi", "kept") == "k", "tolerations are live", 10, 0.1)
    assert not condition(home, "vm", "kept", "RestartRequired")
    merge(home, "kept", '{"spec":{"template":{"spec":{"hostname":"other"}}}}')
    wait(lambda: condition(home, "vm", "kept", "RestartRequired").get("status") == "True", "RestartRequired", 10, 0.1)
    assert condition(home, "vm", "kept", "RestartRequired")["message"] == (
        "a non-live-updatable field was changed in the template spec")
    merge(home, "kept", '{"spec":{"template":{"spec":{"hostname":null}}}}')
    wait(lambda: not condition(home, "vm", "kept", "RestartRequired"), "it is taken back", 10, 0.1)
    denied = home.kubectl("patch", "vmi", "kept", "--type=merge", "-p", '{"spec":{"hostname":"x"}}', check=False)
    assert "update of VMI object is restricted" in denied.stderr
    assert instance(home, "kept") == first

    home.kubectl("delete", "vm", "kept", "--cascade=orphan")
    pid = machines.process(home, "kept")
    assert instance(home, "kept") == first
    apply(home, machine("kept"))
    is_shown(home, "kept", "Running")
    wait(lambda: home.value(".metadata.ownerReferences[0].uid", "vmi", "kept") == home.value(".metadata.uid", "vm", "kept"),
         "it is adopted", 10, 0.1)  # fmt: skip
    assert instance(home, "kept") == first and machines.process(home, "kept") == pid
    assert tell(home, "kept", "restart") == (202, "")
    runs_anew(home, "kept", first)
    assert revision(home) == [f"controllerrevision.apps/revision-start-vm-{home.value('.metadata.uid', 'vm', 'kept')}-1"]
    home.kubectl("delete", "vm", "kept", "--timeout=20s")
    wait(lambda: not revision(home), "its revision is gone", 20, 0.2)


@pytest.mark.parametrize(("strategy", "then"), [("Always", "Running"), ("RerunOnFailure", "Stopped"), ("Once", "Stopped"),
                                                ("Manual", "Stopped")])  # fmt: skip
def test_a_guest_that_powers_off_by_itself(home: Product, strategy: str, then: str) -> None:
    apply(home, machine("own", strategy=strategy))
    if strategy == "Manual":
        is_shown(home, "own", "Stopped")
        tell(home, "own", "start")
    is_shown(home, "own", "Running")
    echoes(home, "own")
    first = instance(home, "own")
    machines.type_in(home, "own", POWER_OFF)
    if then == "Running":
        runs_anew(home, "own", first)
        assert not home.value(".status.startFailure", "vm", "own")
    else:
        is_shown(home, "own", then)
        if strategy in ("Once", "Manual"):
            assert home.value(".status.phase", "vmi", "own") == "Succeeded"
    home.kubectl("delete", "vm", "own", "--timeout=20s")


def test_a_guest_that_restarts_keeps_its_instance_unless_its_policy_ends_it(home: Product) -> None:
    apply(home, machine("again"))
    is_shown(home, "again", "Running")
    first = instance(home, "again")
    with stream(home, "again", "console") as console:
        console.send(b"#")
        heard(console, b"#")
        for restart in (lambda: console.send(REBOOT), lambda: machines.ask(home, "virtualmachineinstances", "again", "reset")):
            restart()
            heard(console, GREETING)
    assert instance(home, "again") == first
    ends = machine("ends")
    ends["spec"]["template"]["spec"]["domain"]["rebootPolicy"] = "Terminate"
    apply(home, ends)
    is_shown(home, "ends", "Running")
    first = instance(home, "ends")
    echoes(home, "ends")
    machines.type_in(home, "ends", REBOOT)
    runs_anew(home, "ends", first)
    home.kubectl("delete", "vm", "again", "ends", "--timeout=20s")


def test_a_crash_is_seen_before_the_instance_goes(home: Product) -> None:
    apply(home, machine("dies", strategy="Once"))
    is_shown(home, "dies", "Running")
    crash(home, "dies")
    wait(lambda: home.value(".status.phase", "vmi", "dies") == "Failed", "it has failed", 15, 0.1)
    assert shown(home, "dies") == "Stopped"
    home.kubectl("delete", "vmi", "dies", "--wait=false")
    is_shown(home, "dies", "Running")
    home.kubectl("delete", "vm", "dies", "--timeout=20s")
