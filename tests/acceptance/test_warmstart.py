"""Machines that rest: their memory outlives a stop, is used once, never over changed disks, and is whole or not there."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vmpod.base.paths import Paths
from vmpod.testing.guest import GREETING, write_keeper

from ..e2e.product import Product, wait
from . import machines
from .machines import datavolume, heard, instance, is_shown, machine, own, runs_anew, stream, tell
from .pods import apply

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
KEEPER = own("rester")


@pytest.fixture(scope="module", autouse=True)
def images(host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder: Path = tmp_path_factory.mktemp("images")
    machines.build(folder, KEEPER, {"/disk/": write_keeper(folder / "keeper.img")})
    yield
    machines.remove_images(KEEPER)


def rester(name: str, memory: str = "64Mi") -> dict[str, Any]:
    """A machine that keeps its memory, and boots the keeper from a DataVolume of its own."""
    volume = datavolume(f"{name}-disk", registry={"url": f"docker://{KEEPER}"})
    made = machine(name, {"name": "d", "dataVolume": {"name": f"{name}-disk"}}, memory=memory)
    made["spec"]["dataVolumeTemplates"] = [{"metadata": volume["metadata"], "spec": volume["spec"]}]
    made["spec"]["template"]["metadata"]["annotations"] = {"vmpod.io/warm-start": "true"}
    return made


def keep(home: Product, vm: str, byte: bytes) -> None:
    """Let the guest write a byte to its disk."""
    with stream(home, vm, "console") as console:
        console.send(byte)
        heard(console, byte)


def booted(home: Product, vm: str) -> bool:
    """Whether the guest has booted in its present launcher; what it prints then is in the launcher's log."""
    return GREETING.decode().strip() in home.kubectl("logs", "-l", f"vm.kubevirt.io/name={vm}", check=False).stdout


def stop(home: Product, vm: str) -> None:
    home.vmpod("stop", vm)
    is_shown(home, vm, "Stopped")


def events(home: Product, reason: str) -> str:
    return home.value(".items[*].message", "events", f"--field-selector=reason={reason}")


def test_a_machine_goes_on_where_it_was(home: Product, tmp_path: Path) -> None:
    apply(home, rester("nap"))
    is_shown(home, "nap", "Running", 60)
    wait(lambda: booted(home, "nap"), "nap has booted", 30)
    keep(home, "nap", b"b")
    address = home.value(".status.interfaces[0].ipAddress", "vmi", "nap")
    first, saved = instance(home, "nap"), Paths(home.home).saved("default", "nap")
    stop(home, "nap")
    assert {one.name for one in saved.iterdir()} >= {"state", "record.json"} and (saved / "state").stat().st_mode & 0o77 == 0
    assert "it goes on at the next start" in events(home, "MemoryKept")
    begin = time.monotonic()
    home.vmpod("start", "nap")
    assert time.monotonic() - begin < 20
    assert instance(home, "nap") != first and not saved.exists()
    keep(home, "nap", b"c")
    assert not booted(home, "nap") and "goes on where it was" in events(home, "WarmStarted")
    assert home.value(".status.interfaces[0].ipAddress", "vmi", "nap") == address
    assert home.value('.status.conditions[?(@.type=="vmpod.io/GuestStage")].message', "vmi", "nap").startswith("memory 0 s")

    manifest = tmp_path / "nap.json"
    manifest.write_text(json.dumps(rester("nap")))
    assert "kept (--volumes removes it)" in home.vmpod("down", str(manifest)).stdout
    assert (saved / "state").exists()
    home.vmpod("up", str(manifest))
    keep(home, "nap", b"c")
    assert not booted(home, "nap"), "a machine made anew on its disk goes on too"

    before = instance(home, "nap")
    assert tell(home, "nap", "restart") == (202, "")
    runs_anew(home, "nap", before)
    wait(lambda: booted(home, "nap"), "a restart boots", 30)

    stop(home, "nap")
    (disk,) = Paths(home.home).volumes.glob("*/disk*.qcow2")
    os.utime(disk)
    home.vmpod("start", "nap")
    wait(lambda: booted(home, "nap"), "over a changed disk it boots", 30)
    assert "its disk d was changed since" in events(home, "WarmStartRefused") and not saved.exists()

    stop(home, "nap")
    home.kubectl("patch", "vm", "nap", "--type=merge", "-p", '{"spec":{"template":{"spec":{"domain":{"memory":{"guest":"80Mi"}}}}}}')
    home.vmpod("start", "nap")
    wait(lambda: booted(home, "nap"), "as another machine it boots", 30)
    assert "its devices are others" in events(home, "WarmStartRefused")

    home.kubectl("delete", "vm", "nap", "--timeout=60s")
    wait(lambda: not saved.exists(), "its memory goes with its machine and disk", 20)


def test_disks_and_memory_of_one_moment(home: Product) -> None:
    made = rester("both")
    del made["spec"]["template"]["metadata"]["annotations"]
    apply(home, made)
    is_shown(home, "both", "Running", 60)
    wait(lambda: booted(home, "both"), "both has booted", 30)
    keep(home, "both", b"b")
    pid, paths = machines.process(home, "both"), Paths(home.home)
    home.vmpod("snapshot", "save", "--memory", "both", "then")
    assert machines.process(home, "both") == pid and "then  both  Succeeded  with memory" in home.vmpod("snapshot", "list").stdout
    keep(home, "both", b"c")
    for _ in range(2):
        home.vmpod("snapshot", "restore", "both", "then", "--stop", "--start")
        assert not booted(home, "both"), "it goes on"
        keep(home, "both", b"#")
    home.vmpod("restart", "both")
    wait(lambda: booted(home, "both"), "once only", 30)
    home.vmpod("snapshot", "restore", "both", "then", "--stop")
    disk = max(paths.volumes.glob("*/disk.qcow2"), key=lambda one: one.stat().st_mtime)  # the one just restored
    with disk.open("r+b") as file:
        file.seek(3 << 16)  # where such a disk has its table of clusters
        file.write(b"\1" * 8)
    home.kubectl("patch", "vm", "both", "--type=merge", "-p", '{"spec":{"runStrategy":"Always"}}')
    wait(lambda: "its disk d was changed since it was restored" in events(home, "WarmStartRefused"), "it is refused", 30)
    home.kubectl("delete", "vm,vmsnapshot,vmrestore", "--all", "--timeout=60s")
    wait(lambda: not list(paths.snapshots.iterdir()), "the memory goes with its snapshot", 20)


def test_a_snapshot_with_memory_and_its_engine_killed(home: Product) -> None:
    paths = Paths(home.home)
    apply(home, rester("held", memory="512Mi"))
    is_shown(home, "held", "Running", 60)
    wait(lambda: booted(home, "held"), "held has booted", 30)
    verb = home.start("snapshot", "save", "--memory", "held", "shot")
    deadline = time.monotonic() + 60
    while not list(paths.pods.glob("*/held")) and time.monotonic() < deadline and verb.poll() is None:
        time.sleep(0.001)
    home.kill_engine()
    verb.communicate(timeout=60)
    home.vmpod("engine", "start")
    is_shown(home, "held", "Running", 60)
    machines.echoes(home, "held")
    wait(lambda: not list(paths.pods.glob("*/held")), "it is held no more", 10)
    wait(lambda: home.value(".status.phase", "vmsnapshot", "shot") in ("", "Succeeded") or
         "take another snapshot" in home.value(".status.error.message", "vmsnapshot", "shot"), "it ends, or says why not", 30)
    phase = home.value(".status.phase", "vmsnapshot", "shot")
    whole = [one for one in paths.snapshots.iterdir() if (one / "record.json").exists()]
    assert bool(whole) is (phase == "Succeeded")
    home.vmpod("down", "--all", "--volumes")


def test_an_engine_killed_while_memory_is_written_or_read(home: Product) -> None:
    paths = Paths(home.home)
    apply(home, rester("kill", memory="512Mi"))
    is_shown(home, "kill", "Running", 60)
    wait(lambda: booted(home, "kill"), "kill has booted", 30)
    for wanted in ("saving", "resuming"):
        verb = home.start("stop" if wanted == "saving" else "start", "kill")
        deadline = time.monotonic() + 60
        while not list(paths.pods.glob(f"*/{wanted}")) and time.monotonic() < deadline and verb.poll() is None:
            time.sleep(0.001)
        home.kill_engine()
        verb.communicate(timeout=60)
        home.vmpod("engine", "start")
        is_shown(home, "kill", "Stopped" if wanted == "saving" else "Running", 60)
        assert not list(paths.pods.glob("*/saving"))
        saved = paths.saved("default", "kill")
        if saved.exists():
            assert {one.name for one in saved.iterdir()} >= {"state", "record.json"}
    machines.echoes(home, "kill")
    wait(lambda: not list(paths.pods.glob("*/resuming")), "it is used up", 10)
    home.vmpod("stop", "kill")
    home.vmpod("down", "--all", "--volumes")
    wait(lambda: not list(paths.memory.iterdir()), "nothing is left", 20)
