"""What is concluded from how far a guest came."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmpod.cli import checkboot
from vmpod.cli.bringing import Drive, Wish
from vmpod.intake.image import Advice, Choice
from vmpod.kinds import VIRTUALMACHINE
from vmpod.kinds.schema import unknown_fields

WISH = Wish("db", "default", Path("/images/db.qcow2"), (Drive("db", "", "1Gi"),), "512Mi", 1, (22, 80),
            Advice("boots", "", probe=Choice("tcp:80", "")))  # fmt: skip


@pytest.mark.parametrize(
    ("stages", "phase", "is_up", "why"),
    [
        (["firmware 0 s", "kernel 2 s", "init 8 s"], "Running", True, "its system is up"),
        (["firmware 0 s", "boot disk 1 s", "22/tcp open 9 s"], "Running", True, "its system is up"),
        (["firmware 0 s", "boot disk 1 s", "address 9 s"], "Running", True, "its system is up"),
        (["firmware 0 s", "boot loader 1 s", "kernel 2 s"], "Running", False, "does not reach the system"),
        (["firmware 0 s", "kernel 2 s"], "Failed", False, "then its machine failed"),
        (["firmware 0 s", "boot loader 1 s"], "Running", False, "no kernel was seen"),
        (["firmware 0 s", "boot disk 1 s"], "Running", False, "nothing that it started has spoken"),
        (["firmware 0 s", "boot disk 1 s", "console 2 s"], "Running", False, "no known system was recognised"),
        (["firmware 0 s"], "Running", False, "does not read the disk"),
        ([], "Scheduling", False, "did not run (Scheduling)"),
        ([], "", False, "no instance"),
    ],
)
def test_outcomes(stages: list[str], phase: str, is_up: bool, why: str) -> None:
    found = checkboot.outcome(stages, phase)
    assert found.is_up == is_up and why in found.why
    assert bool(found.remedy) == (not is_up)


@pytest.mark.parametrize(
    ("stages", "said", "is_up", "why"),
    [
        (["firmware 0 s"], "Boot failed: not a bootable disk\n\nNo bootable device.", False, "finds nothing to start"),
        (["boot loader 1 s"], "error: no such device: 12\nEntering rescue mode...\ngrub rescue> ", False, "GRUB does not find"),
        (["kernel 2 s"], "ALERT!  UUID=1-2 does not exist.  Dropping to a shell!", False, "does not find the root file system"),
        (["kernel 2 s", "init 3 s"], "You are in emergency mode. After logging in", False, "emergency mode"),
        (["kernel 2 s"], "Kernel panic - not syncing: VFS: Unable to mount root fs", False, "does not find the root file system"),
        (["kernel 2 s"], "Kernel panic - not syncing: Attempted to kill init!", False, "panicked"),
        (["init 3 s"], "Please enter passphrase for disk QEMU (luks)", False, "asks for the passphrase"),
        (["init 3 s", "login prompt 9 s"], "dracut-initqueue: timeout, still waiting", True, "its system is up"),
        (["init 3 s", "agent 9 s"], "", True, "its system is up"),
    ],
)
def test_what_a_guest_said_tells_why(stages: list[str], said: str, is_up: bool, why: str) -> None:
    found = checkboot.outcome(stages, "Running", said)
    assert found.is_up == is_up and why in found.why
    assert bool(found.remedy) == (not is_up)


def test_the_screen_adds_what_the_serial_console_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = checkboot.Screen()
    for after_s, said in ((2, "ISOLINUX 6.04 2020"), (5, "[    0.000000] Linux version 6.1"), (9, "Debian 12 box tty1\n\nbox login: _")):
        monkeypatch.setattr("vmpod.drivers.inspection.screens.text", lambda png, said=said: said)
        screen.show(b"", after_s)
    assert screen.added(["firmware 0 s", "kernel 4 s"]) == [
        "firmware 0 s", "boot loader 2 s (screen)", "kernel 4 s", "login prompt 9 s (screen)",
    ]  # fmt: skip


def test_a_screen_that_is_no_picture_changes_nothing() -> None:
    screen = checkboot.Screen("before")
    screen.show(b"", 1)
    assert screen == checkboot.Screen("before")


@pytest.mark.parametrize(
    ("stages", "quiet_s", "over"),
    [(["firmware 0 s", "22/tcp open 1 s"], 0, True), (["init 3 s"], 4, False), (["init 3 s"], 6, True),
     (["kernel 3 s"], 59, False), (["kernel 3 s"], 61, True), ([], 61, True)],
)  # fmt: skip
def test_when_to_stop_waiting(stages: list[str], quiet_s: float, over: bool) -> None:
    assert checkboot.is_over(stages, quiet_s) == over


def test_a_slow_system_has_longer_until_it_is_called_still() -> None:
    assert not checkboot.is_over(["init 50 s"], 20, 50)
    assert checkboot.is_over(["init 50 s"], 26, 50)


def test_the_trial_keeps_nothing_and_meets_nobody() -> None:
    machine = checkboot.trial(WISH)
    assert unknown_fields(VIRTUALMACHINE, machine) == []
    spec = machine["spec"]["template"]["spec"]
    assert spec["volumes"] == [{"name": "system", "ephemeral": {"persistentVolumeClaim": {"claimName": "db"}}}]
    assert machine["spec"]["template"]["metadata"]["labels"] == {"vmpod.io/check-boot": "db"}
    assert "readinessProbe" not in spec
    assert [one["port"] for one in spec["domain"]["devices"]["interfaces"][0]["ports"]] == [22, 80]
