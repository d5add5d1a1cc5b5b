"""Faults under running machines: each ends in a truthful status, and what runs is counted afterwards.

Nothing may be doubled and nothing left over: `inventory` looks at processes, podman, namespaces, devices, nftables,
mounts and folders without asking the product.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from vmpod.base import proc
from vmpod.base.paths import Paths
from vmpod.testing.guest import GREETING, PANIC, write_keeper

from .. import sweep
from ..conftest import Kubectl
from ..e2e.conftest import product
from ..e2e.product import Product, wait
from . import machines
from .machines import QUICK, ask, condition, echoes, gone, instance, is_shown, machine, shown, tell
from .pods import apply, reasons
from .test_snapshots import KEEPER, is_ready, keeper, snapshot

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
VMI = "virtualmachineinstances"
_PROGRAMS = ("conmon", "qemu-system-x86_64", "swtpm")
_STANDING = ("engine run", "system service", "net.resolver")


@pytest.fixture(scope="module", autouse=True)
def images(host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("images")
    machines.build(folder, KEEPER, {"/disk/": write_keeper(folder / "keeper.img")})
    machines.build_disks(folder)
    yield
    machines.remove_images(KEEPER, QUICK, machines.DEAF)


# --- what runs ---------------------------------------------------------------------------------------------


def inventory(home: Path) -> Counter[str]:
    """How many there are of each sort of thing of a home; a process that is none of ours under its own name."""
    processes = Counter(_sort(line) for line in sweep.processes(home))
    others = Counter(line.partition(" ")[0] for line in sweep.workload(home) if not line.startswith("pod folder"))
    folders = Counter({"pod folder": len(list((home / "pods").iterdir()))})
    mounts = Counter({"mount": len(sweep.mounts(home))})
    return +(processes + others + folders + mounts)


def _sort(line: str) -> str:
    argv = line.partition(": ")[2]
    program = Path(argv.partition(" ")[0]).name
    standing = next((one for one in _STANDING if one in argv), "")
    return standing or (program if program in _PROGRAMS else line)


def expected(count: int, **more: int) -> Counter[str]:
    """An engine at rest with so many machines, each with one card."""
    each = ("conmon", "qemu-system-x86_64", "container", "netns", "device", "pod folder")
    return +Counter({**dict.fromkeys(_STANDING, 1), **dict.fromkeys(each, count), **more})


def runs_exactly(home: Product, count: int, **more: int) -> None:
    """Until the machine holds what so many machines need, and no more."""
    def difference() -> str:
        found, meant = inventory(home.home), expected(count, **more)
        return f"too much: {dict(found - meant)}, missing: {dict(meant - found)}" if found != meant else ""

    deadline = time.monotonic() + 30
    while (said := difference()) and time.monotonic() < deadline:
        time.sleep(0.3)
    assert not said, said


def engine_again(home: Product) -> None:
    home.kill_engine()
    home.vmpod("engine", "start")


def end_podman(home: Product) -> None:
    service = proc.read_pid_file(Paths(home.home).podman_pid)
    assert service is not None, "the home has no podman service of its own"
    os.kill(service.pid, signal.SIGKILL)
    wait(lambda: not proc.is_alive(service), "podman's service is gone", 10)


# --- QEMU and its guest ------------------------------------------------------------------------------------


def test_a_killed_qemu_is_followed_by_one_other(home: Product) -> None:
    """Also when podman's service went at the same moment."""
    apply(home, machine("killed"))
    is_shown(home, "killed", "Running")
    runs_exactly(home, 1)
    before = instance(home, "killed")
    pid = machines.process(home, "killed")
    end_podman(home)
    os.kill(pid, signal.SIGKILL)
    machines.runs_anew(home, "killed", before)
    runs_exactly(home, 1)
    home.kubectl("delete", "vm", "killed", "--timeout=20s")
    runs_exactly(home, 0)


def test_a_guest_that_panics_has_failed(home: Product) -> None:
    panics = machine("panics", strategy="Once")
    panics["spec"]["template"]["spec"]["domain"]["devices"]["panicDevices"] = [{"model": "isa"}]
    apply(home, panics)
    is_shown(home, "panics", "Running")
    echoes(home, "panics")
    machines.type_in(home, "panics", PANIC)
    wait(lambda: home.value(".status.phase", "vmi", "panics") == "Failed", "it has failed", 15, 0.1)
    wait(lambda: "PanicGuest" in reasons(home, "panics"), "an event tells of the panic", 10)
    home.kubectl("delete", "vm", "panics", "--timeout=20s")
    runs_exactly(home, 0)


# --- podman -----------------------------------------------------------------------------------------------------


def test_a_podman_service_that_is_gone_is_started_again(home: Product) -> None:
    """What runs goes on, and what is wanted is seen to at once; also when the service ends in the middle of it."""
    apply(home, machine("before"))
    is_shown(home, "before", "Running")
    first = machines.process(home, "before")
    end_podman(home)
    assert shown(home, "before") == "Running"
    echoes(home, "before")
    apply(home, machine("after"))
    is_shown(home, "after", "Running", 20)
    apply(home, machine("amid"))
    time.sleep(0.1)
    end_podman(home)
    is_shown(home, "amid", "Running", 40)
    assert machines.process(home, "before") == first
    runs_exactly(home, 3)
    home.kubectl("delete", "vm", "--all", "--wait=false")
    time.sleep(0.1)
    end_podman(home)
    gone(home, "vm", "vmi", "pods")
    runs_exactly(home, 0)


# --- the host's disk ---------------------------------------------------------------------------------------


@pytest.fixture
def small(host: None, kubectl: Kubectl) -> Iterator[Product]:
    """A home on a small file system of its own."""
    folder = Path(tempfile.mkdtemp(prefix="vmpod-full-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "vmpod-test", folder], check=True)
    try:
        with product(kubectl, folder / "home") as made:
            yield made
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """A file system without a free byte: what others give back meanwhile is taken at once."""
    grown, ended = threading.Event(), threading.Event()
    file = os.open(folder / "fill", os.O_CREAT | os.O_WRONLY)

    def fill() -> None:
        while not ended.wait(0.01):
            with suppress(OSError):
                while os.write(file, bytes(1 << 12)):
                    grown.set()

    filling = threading.Thread(target=fill)
    filling.start()
    try:
        while grown.wait(1):
            grown.clear()
        yield
    finally:
        ended.set()
        filling.join()
        os.close(file)
        (folder / "fill").unlink()


def log(home: Product, name: str) -> str:
    return home.kubectl("logs", "-l", f"vm.kubevirt.io/name={name}", check=False).stdout.rstrip("\0\r\n")


def test_a_full_disk_pauses_the_machine_until_there_is_room(small: Product) -> None:
    """The engine's own database lies on the same disk: what it cannot store is refused, and it goes on."""
    apply(small, keeper("writes"))
    is_shown(small, "writes", "Running", 60)
    wait(lambda: GREETING.decode().strip() in log(small, "writes"), "the guest is up", 30)
    before = machines.process(small, "writes")
    with full(small.home.parent):
        machines.type_in(small, "writes", b"c")
        is_shown(small, "writes", "Paused", 60)
        paused = condition(small, "vmi", "writes", "Paused")
        assert (paused["reason"], paused["message"]) == ("PausedIOError", "VMI was paused, low-level IO error detected")
        assert condition(small, "vmi", "writes", "Ready")["status"] == "False"
        assert "IOerror" in reasons(small, "writes")
        assert "database or disk is full" in refusal(small)
        assert not log(small, "writes").endswith("c")
    engine_again(small)
    wait(lambda: ask(small, VMI, "writes", "unpause", {})[0] == 200, "it is unpaused", 60)
    wait(lambda: log(small, "writes").endswith("c"), "what was written is on the disk", 60)
    is_shown(small, "writes", "Running")
    assert not condition(small, "vmi", "writes", "Paused")
    assert machines.process(small, "writes") == before
    runs_exactly(small, 1)


def refusal(home: Product) -> str:
    """What the API says once it can store nothing more: the log of the database has some room of its own."""
    for number in range(1000):
        done = home.kubectl("create", "configmap", f"c{number}", f"--from-literal=text={'x' * 100_000}", check=False)
        if done.returncode:
            return done.stderr
    raise AssertionError("the disk does not fill")


# --- an engine that dies in the middle ---------------------------------------------------------------------


@pytest.mark.parametrize("after_s", [0.0, 0.15, 0.4])
def test_an_engine_that_dies_while_machines_start_and_stop(home: Product, after_s: float) -> None:
    apply(home, machine("one", {"name": "d", "containerDisk": {"image": QUICK}}), machine("two"))
    time.sleep(after_s)
    engine_again(home)
    for name in ("one", "two"):
        is_shown(home, name, "Running")
    runs_exactly(home, 2)
    assert tell(home, "one", "stop", {"gracePeriod": 0})[0] == 202
    home.kubectl("delete", "vm", "two", "--wait=false")
    time.sleep(after_s)
    engine_again(home)
    is_shown(home, "one", "Stopped")
    home.kubectl("delete", "vm", "--all", "--timeout=30s")
    gone(home, "vm", "vmi", "pods")
    runs_exactly(home, 0)


def test_an_engine_that_dies_while_disks_are_plugged_and_frozen(home: Product) -> None:
    apply(home, keeper("db"), machines.claim("more", "24Mi"))
    is_shown(home, "db", "Running", 60)
    pid = machines.process(home, "db")
    before = sorted(disks_of(pid))
    assert before
    for number, after_s in enumerate((0.0, 0.15)):
        source = {"persistentVolumeClaim": {"claimName": "more"}}
        wanted = {"name": "more", "disk": {"disk": {"bus": "scsi"}}, "volumeSource": source}
        assert ask(home, "virtualmachines", "db", "addvolume", wanted) == (202, "")
        engine_dies(home, after_s)
        wait(lambda: plugged(home, "db", "more").get("phase") == "Ready", "the disk is plugged in", 30)
        assert ask(home, "virtualmachines", "db", "removevolume", {"name": "more"}) == (202, "")
        engine_dies(home, after_s)
        wait(lambda: not plugged(home, "db", "more"), "the disk is unplugged", 30)
        assert sorted(disks_of(pid)) == before
        apply(home, snapshot(f"s{number}", "db"))
        engine_dies(home, after_s)
        is_ready(home, "vmsnapshot", f"s{number}")
        before = sorted(disks_of(pid))
    assert machines.process(home, "db") == pid
    layers = [path.name for path in Paths(home.home).layers.iterdir() if path.is_dir()]
    assert len(layers) == 2, layers
    runs_exactly(home, 1)
    home.kubectl("delete", "vm,vmsnapshot,dv,pvc", "--all", "--timeout=60s")
    gone(home, "vm", "vmi", "pods", "vmsnapshotcontent", "pvc", "pv")
    wait(lambda: not list(Paths(home.home).layers.iterdir()), "no layer is left", 20)
    assert not list((home.home / "disks" / "volumes").iterdir())
    runs_exactly(home, 0)


def engine_dies(home: Product, after_s: float) -> None:
    time.sleep(after_s)
    engine_again(home)


def plugged(home: Product, name: str, volume: str) -> dict[str, Any]:
    found = home.read("vmi", name)["status"].get("volumeStatus", [])
    return next((one for one in found if one["name"] == volume), {})


def disks_of(pid: int) -> list[str]:
    """The files below `disks` that a QEMU holds open."""
    held = (os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir())
    return [path for path in held if "/disks/" in path or "/volumes/" in path]
