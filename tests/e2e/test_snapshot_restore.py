"""examples/05-snapshot-restore as its README says, on a Linux guest."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from vmpod.cli.bridge import Stream
from vmpod.model.status import ApiError

from ..acceptance.machines import ask, gone, heard, stream
from .product import ROOT, Product, wait

pytestmark = [pytest.mark.host, pytest.mark.timeout(600)]
EXAMPLE = ROOT / "examples" / "05-snapshot-restore"


def apply(home: Product, *names: str) -> None:
    home.kubectl("apply", *(word for name in names for word in ("-f", str(EXAMPLE / f"{name}.yaml"))))


def typed(console: Stream, command: str, words: str, timeout_s: float = 60) -> None:
    """Type a command; its answer, told from its echo by the quotes."""
    console.send(command.encode() + b"\n")
    heard(console, words.encode(), timeout_s)


def has_booted(home: Product, vm: str) -> None:
    home.kubectl("wait", "vm", vm, "--for=condition=Ready", "--timeout=120s", timeout_s=130)

    def answers() -> bool:
        try:
            with stream(home, vm, "console") as console:
                typed(console, "echo sh''ell", "shell", 15)
        except ApiError as error:
            raise AssertionError(error.message) from None
        return True

    wait(answers, f"{vm} has a shell", 180, 1)


def note(home: Product, vm: str) -> str:
    with stream(home, vm, "console") as console:
        console.send(b"echo \"note=$(cat /root/note 2>/dev/null)=\"\n")
        said = heard(console, b"\nnote=", 30) + (console.step() or b"")
    return said.rpartition(b"\nnote=")[2].partition(b"=")[0].decode()


def held(home: Product) -> str:
    return home.value(".status.fsFreezeStatus", "vmi", "notes")


def stays_as_a_person_left_it(home: Product) -> None:
    """A guest that was frozen before its snapshot is so afterwards, and thaws in its time whatever becomes of the engine."""
    assert ask(home, "virtualmachineinstances", "notes", "freeze", {"unfreezeTimeout": "8s"})[0] == 200
    home.vmpod("snapshot", "save", "notes", "frozen")
    assert held(home) == "frozen"
    home.kill_engine()
    home.vmpod("engine", "start")
    wait(lambda: held(home) == "", "it is thawed", 60)
    with stream(home, "notes", "console") as console:
        typed(console, "touch /root/x; sync; echo wri''tten", "written")


def test_the_example(home: Product, tmp_path: Path) -> None:
    apply(home, "vm")
    has_booted(home, "notes")
    wait(lambda: "AgentConnected" in json.dumps(home.read("vmi", "notes")["status"].get("conditions")), "its agent", 60)
    with stream(home, "notes", "console") as console:
        typed(console, "echo hello >/root/note; sync; echo do''ne", "done")
    apply(home, "snapshot")
    home.kubectl("wait", "vmsnapshot", "before", "--for=condition=Ready", "--timeout=60s")
    assert home.read("vmsnapshot", "before")["status"]["indications"] == ["GuestAgent", "Online"]
    with stream(home, "notes", "console") as console:
        typed(console, "rm /root/note; sync; echo go''ne", "gone")
    stays_as_a_person_left_it(home)
    apply(home, "clone")
    home.kubectl("wait", "vmclone", "look-back", "--for=condition=Ready", "--timeout=60s")
    home.vmpod("start", "notes-then")
    has_booted(home, "notes-then")
    assert (note(home, "notes-then"), note(home, "notes")) == ("hello", "")
    apply(home, "restore")
    home.kubectl("wait", "vmrestore", "undo", "--for=condition=Ready", "--timeout=90s", timeout_s=100)
    home.vmpod("start", "notes")
    has_booted(home, "notes")
    assert note(home, "notes") == "hello"
    home.vmpod("export", "snapshot", "before", "-o", str(tmp_path / "notes.qcow2"))
    told = subprocess.run(["qemu-img", "info", "--output=json", str(tmp_path / "notes.qcow2")], check=True, capture_output=True)
    assert json.loads(told.stdout)["format"] == "qcow2" and json.loads(told.stdout)["virtual-size"] == 2 << 30
    home.kubectl("delete", "vm,vmsnapshot,vmrestore,vmclone,dv,pvc", "--all", "--timeout=90s", timeout_s=100)
    gone(home, "vm", "vmi", "vmsnapshot", "vmsnapshotcontent", "vmrestore", "vmclone", "vmexport", "dv", "pvc", "pv")
