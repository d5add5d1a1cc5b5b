"""Memory that outlives a machine: when it is kept, what it has to fit, and its way through files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.drivers.qemu.spec import Disk, MachineSpec, Nic
from vmpod.model.meta import Object
from vmpod.node import machine_resume, saves, warmstart
from vmpod.node.status.machine import Observed, Size

POD, NEXT = "22222222-2222-2222-2222-222222222222", "33333333-3333-3333-3333-333333333333"
RUNS = Observed(run_state="running")


def vmi(**devices: Any) -> Object:
    return {"metadata": {"namespace": "default", "name": "a", "ownerReferences": [{"kind": "VirtualMachine", "name": "a"}]},
            "spec": {"domain": {"devices": devices}, "volumes": [{"name": "d", "dataVolume": {"name": "claim"}}]}}  # fmt: skip


def vm(strategy: str = "Halted", *requests: str, **status: Any) -> Object:
    asked = [{"action": one} for one in requests]
    return {"metadata": {}, "spec": {"runStrategy": strategy}, "status": {"stateChangeRequests": asked, **status}}


@pytest.mark.parametrize(
    ("machine", "goes_off"),
    [
        (vm("Halted"), True), (vm("Always"), False), (vm("Manual", "Stop"), True), (vm("Always", "Stop", "Start"), False),
        (vm("Halted", "Start"), False), ({"metadata": {}, "spec": {"running": False}}, True), (None, False),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"runStrategy": "Always"}}, True),
    ],
)  # fmt: skip
def test_who_stays_off(machine: Object | None, goes_off: bool) -> None:
    assert warmstart.is_going_off(machine) is goes_off


DELETED: Object = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {}}
WAITS = vm(conditions=[{"type": "RestartRequired", "status": "True"}])


@pytest.mark.parametrize(
    ("instance", "machine", "seen", "why"),
    [
        (vmi(), vm(), RUNS, ""),
        (vmi(), DELETED, RUNS, ""),
        ({**vmi(), "spec": {}}, DELETED, RUNS, "the machine is deleted, and none of its disks stays"),
        (vmi(), WAITS, RUNS, "its template has changes that wait for a restart"),
        (vmi(), vm(), replace(RUNS, frozen=True), "its file systems are frozen"),
        (vmi(), vm(), replace(RUNS, plugged={"b": ("Ready", "", ""), "a": ("Ready", "", "")}),
         "disks were plugged in while it ran: a, b"),
        (vmi(), vm(), replace(RUNS, cards_moved=True), "a network card came or went while it ran"),
        (vmi(), vm(), replace(RUNS, size=Size(sockets=2)), "processors or memory were plugged in while it ran"),
        (vmi(), vm(), replace(RUNS, size=Size(sockets=1, plugged_bytes=1)), "processors or memory were plugged in while it ran"),
        (vmi(tpm={}), vm(), RUNS, "what its TPM holds is not in QEMU's hands"),
        (vmi(interfaces=[{"name": "n", "masquerade": {}}, {"name": "p", "passt": {}}]), vm(), RUNS,
         "it has the card p, which is bound in another way than by masquerade or bridge"),
        (vmi(filesystems=[{"name": "x"}], gpus=[{}]), vm(), RUNS, "it has shared file systems and GPUs of the host"),
    ],
)  # fmt: skip
def test_what_keeps_memory_from_being_kept(instance: Object, machine: Object, seen: Observed, why: str) -> None:
    assert warmstart.obstacle(instance, machine, seen) == why


SPEC = MachineSpec("default_a", "6a1a24a1-4061-4607-8bf4-a3963d0c5895", 64 << 20, accelerator="tcg",
                   disks=(Disk("d", f"/disks/pods/{POD}/disks/d.qcow2"),), nics=(Nic("n", "tap0", "02:00:00:00:00:01"),))  # fmt: skip


def features(spec: MachineSpec = SPEC, pod: str = POD, qemu: str = "7.2", processor: str = "one",
             images: tuple[str, ...] = ("base",)) -> dict[str, str]:  # fmt: skip
    return warmstart.features(spec, images, pod, qemu=qemu, processor=processor)


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (features(), ""),
        (features(replace(SPEC, disks=(Disk("d", f"/disks/pods/{NEXT}/disks/d.qcow2"),)), NEXT), ""),
        (features(replace(SPEC, incoming=True, start_paused=True)), ""),
        (features(processor="other"), ""),  # nobody sees it: the guest is emulated
        (features(replace(SPEC, accelerator="kvm")), "the processor is another: one now, emulated then"),
        (features(replace(SPEC, uuid="")), ""),
        (features(replace(SPEC, name="default_b")), "its devices are others, because its template or vmpod has changed"),
        (features(replace(SPEC, machine="pc-q35-7.2")), ""),  # what q35 stands for with this QEMU
        (features(replace(SPEC, machine="pc")), "its board is another: pc now, q35 then"),
        (features(qemu="8.0"), "QEMU is 8.0 now and was 7.2"),
        (features(images=("other",)), "its container disks lie on other images"),
        (features(replace(SPEC, memory_bytes=65 << 20)), "its devices are others, because its template or vmpod has changed"),
        (features(replace(SPEC, nics=(Nic("n", "tap0", "02:00:00:00:00:02"),))),
         "its devices are others, because its template or vmpod has changed"),
    ],
)
def test_what_has_to_be_the_same(now: dict[str, str], why: str) -> None:
    assert warmstart.difference(features(), now) == why


def test_a_disk_that_was_written(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"a")
    before = saves.marks({"d": str(tmp_path / "disk")})
    assert warmstart.changed_disk(before, saves.marks({"d": str(tmp_path / "disk")})) == ""
    (tmp_path / "disk").write_bytes(b"b")
    assert warmstart.changed_disk(before, saves.marks({"d": str(tmp_path / "disk")})) == "its disk d was changed since"
    assert warmstart.changed_disk(before, {}) == "its disk d was changed since"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path)
    made.create()
    for pod in (POD, NEXT):
        (made.pod(pod) / "disks").mkdir(parents=True)
        (made.pod(pod) / "disks" / "d.qcow2").write_text(f"disk of {pod}")
    return made


def written(paths: Paths) -> None:
    saves.note_start(paths, POD, {"features": features(), "disks": {}})
    saves.begin(paths, POD).write_text("memory")
    saves.finish(paths, POD, {"namespace": "default", "machine": "a", "claims": ["claim"]})


def test_from_one_pod_to_the_next(paths: Paths) -> None:
    assert saves.keep(paths, POD) is None
    saves.begin(paths, POD).write_text("half")
    assert saves.is_begun(paths, POD) and not saves.is_finished(paths, POD) and saves.keep(paths, POD) is None
    written(paths)
    kept = saves.keep(paths, POD)
    assert kept and kept.record["features"] == features() and kept == saves.find(paths, "default", "a")
    assert saves.keep(paths, POD) is None, "once"
    saves.claim(paths, NEXT, kept)
    assert (paths.pod(NEXT) / "disks/d.qcow2").read_text() == f"disk of {POD}"
    assert saves.settle(paths, NEXT) and saves.find(paths, "default", "a") is None
    assert (saves.resuming(paths.pod(NEXT)) / "state").read_text() == "memory"
    saves.give_back(paths, NEXT)
    back = saves.find(paths, "default", "a")
    assert back and (back.folder / "disks/d.qcow2").read_text() == f"disk of {POD}"
    saves.claim(paths, NEXT, back)
    (saves.resuming(paths.pod(NEXT)) / "state").unlink()
    saves.give_back(paths, NEXT)
    assert saves.find(paths, "default", "a") is None and saves.forget_unread(paths, NEXT) is None, "it was used"


def test_a_snapshot_lends_its_memory_to_each_restore_once(paths: Paths) -> None:
    saves.begin_snapshot(paths, "c1").write_text("memory")
    assert saves.of_snapshot(paths, "c1") is None, "not whole yet"
    saves.finish_snapshot(paths, "c1", {"namespace": "default", "machine": "a"})
    held = saves.of_snapshot(paths, "c1")
    assert held and not saves.is_used(held, "r1")
    saves.use(held, "r1")
    saves.lend(paths, POD, held, "r1")
    assert saves.settle(paths, POD) and (saves.resuming(paths.pod(POD)) / "state").read_text() == "memory"
    saves.give_back(paths, POD)
    assert not saves.is_used(held, "r1") and not saves.settle(paths, POD), "it never went on"
    saves.use(held, "r1")
    assert saves.is_used(held, "r1") and not saves.is_used(held, "r2")
    saves.drop_snapshot(paths, "c1")
    assert saves.of_snapshot(paths, "c1") is None


def test_steps_that_were_broken_off_are_done_again(paths: Paths) -> None:
    written(paths)
    (paths.pod(POD) / "disks").rename(saves.saving(paths, POD) / "disks")  # killed in keep
    kept = saves.keep(paths, POD)
    assert kept
    kept.folder.rename(saves.resuming(paths.pod(NEXT)))  # killed in claim
    assert saves.settle(paths, NEXT) and (paths.pod(NEXT) / "disks/d.qcow2").read_text() == f"disk of {POD}"
    assert not saves.settle(paths, POD)
    assert saves.forget_unread(paths, NEXT) is not None and not saves.settle(paths, NEXT)


def test_memory_goes_with_what_it_belongs_to(paths: Paths) -> None:
    written(paths)
    saves.keep(paths, POD)
    (paths.memory / "half").mkdir()
    saves.sweep(paths, lambda record: "claim" in record["claims"])
    assert [one.name for one in paths.memory.iterdir()] == ["default_a"]
    saves.sweep(paths, lambda record: False)
    assert not list(paths.memory.iterdir())


class Clock:
    """A guest's clock and the ways that its agent has to it."""

    def __init__(self, *, sets: bool, runs: bool) -> None:
        self.sets, self.runs, self.ran = sets, runs, False

    async def ask(self, command: str, **given: int) -> int:
        if command == "guest-get-time":
            return 0
        assert command == "guest-set-time" and given["time"] > 1e18
        if not self.sets:
            raise Problem(command, "not supported", reason="Refused")
        return 0

    async def run(self, words: list[str], timeout_s: float) -> int:
        assert words[:3] == ["date", "-u", "-s"] and words[3].startswith("@")
        self.ran = True
        return 0 if self.runs else 1


@pytest.mark.parametrize(
    ("clock", "why", "ran"),
    [
        (Clock(sets=True, runs=False), "", False),
        (Clock(sets=False, runs=True), "", True),
        (Clock(sets=False, runs=False), "not supported", True),
    ],
)
async def test_the_clock_is_put_right(clock: Clock, why: str, ran: bool) -> None:
    assert await machine_resume.set_clock(clock.ask, clock.run, lambda: True) == why
    assert clock.ran is ran
