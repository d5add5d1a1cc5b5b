"""Transfers of claims and DataVolumes: each way to its end, whatever is lost between, and why one does not begin."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpod.controllers import datavolume, garbage
from vmpod.controllers import objecttransfer as controller
from vmpod.kinds import (
    DATAVOLUME,
    NAMESPACE,
    OBJECTTRANSFER,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    POD,
)
from vmpod.model import conditions, meta
from vmpod.model.meta import Object
from vmpod.testing.world import World

DISK = ("default", "disk")
MOVED = ("other", "moved")
_STORAGE: Object = {"resources": {"requests": {"storage": "1Gi"}}, "accessModes": ["ReadWriteOnce"]}
_STORE = "cdi.kubevirt.io/storage."


def node(world: World) -> None:
    """The node: binds claims to the volume that they name, fills them, and reclaims volumes as their policy says."""
    for claim in world.list(PERSISTENTVOLUMECLAIM):
        at = (meta.namespace(claim), meta.name(claim))
        named = meta.get(claim, "spec", "volumeName") or f"pvc-{meta.uid(claim)}"
        volume = world.get(PERSISTENTVOLUME, "", named)
        if volume is None and not meta.get(claim, "spec", "volumeName"):
            reference = {"namespace": at[0], "name": at[1], "uid": meta.uid(claim)}
            world.put(PERSISTENTVOLUME, {"metadata": {"name": named}, "spec": {
                "claimRef": reference, "persistentVolumeReclaimPolicy": "Delete"}})
            world.update(PERSISTENTVOLUMECLAIM, *at, {"spec": {"volumeName": named},
                                                      "metadata": {"annotations": {f"{_STORE}pod.phase": "Succeeded"}}})
        elif volume is not None:
            reference = meta.get(volume, "spec", "claimRef")
            if not reference.get("uid") and (reference["namespace"], reference["name"]) == at:
                world.update(PERSISTENTVOLUME, "", named, {"spec": {"claimRef": {"uid": meta.uid(claim)}}})
            elif reference.get("uid") == meta.uid(claim) and meta.get(claim, "status", "phase") != "Bound":
                world.update(PERSISTENTVOLUMECLAIM, *at, {"status": {"phase": "Bound"}}, "status")
    for volume in world.list(PERSISTENTVOLUME):
        reference = meta.get(volume, "spec", "claimRef")
        holder = world.get(PERSISTENTVOLUMECLAIM, reference["namespace"], reference["name"])
        is_held = holder is not None and meta.uid(holder) == reference.get("uid")
        if not is_held and meta.get(volume, "spec", "persistentVolumeReclaimPolicy") == "Delete":
            world.delete(PERSISTENTVOLUME, "", meta.name(volume))


ALL: dict[Any, dict[str, Any]] = {datavolume: {}, controller: {}, garbage: {}}


def world_of(kind: str = "PersistentVolumeClaim", **annotations: str) -> World:
    """A filled claim, or a DataVolume with its claim."""
    world = World()
    for name in ("default", "other"):
        world.put(NAMESPACE, {"metadata": {"name": name}})
    about = {"name": "disk", "namespace": "default", "labels": {"app": "db"}, "annotations": dict(annotations)}
    if kind == "DataVolume":
        world.put(DATAVOLUME, {"metadata": about, "spec": {"source": {"blank": {}}, "storage": _STORAGE}})
    else:
        world.put(PERSISTENTVOLUMECLAIM, {"metadata": about, "spec": _STORAGE})
    world.settle(ALL, lambda: node(world))
    return world


def begin(world: World, kind: str = "PersistentVolumeClaim", name: str = "move", **more: Any) -> None:
    source = {"kind": kind, "namespace": "default", "name": "disk", **more.pop("source", {})}
    target = more.pop("target", {"namespace": "other", "name": "moved"})
    world.put(OBJECTTRANSFER, {"metadata": {"name": name}, "spec": {"source": source, "target": target}})


def end(world: World) -> None:
    world.settle(ALL, lambda: node(world))


def told(world: World, name: str = "move") -> tuple[str, str]:
    found = meta.get(world.get(OBJECTTRANSFER, "", name), "status", default={})
    return str(found.get("phase")), (conditions.find(found.get("conditions"), "Complete") or {}).get("message", "")


def bound(world: World, at: tuple[str, str] = MOVED) -> str:
    """The volume of a claim, once both say so."""
    claim = world.get(PERSISTENTVOLUMECLAIM, *at)
    volume = world.get(PERSISTENTVOLUME, "", meta.get(claim, "spec", "volumeName", default=""))
    assert claim is not None and volume is not None and claim["status"]["phase"] == "Bound"
    assert volume["spec"]["claimRef"]["uid"] == meta.uid(claim)
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    return meta.name(volume)


def test_a_claim_moves_with_its_volume() -> None:
    world = world_of(mine="kept")
    before = bound(world, DISK)
    begin(world)
    end(world)
    assert told(world) == ("Complete", "Transfer complete")
    assert world.get(PERSISTENTVOLUMECLAIM, *DISK) is None
    assert bound(world) == before
    moved = world.get(PERSISTENTVOLUMECLAIM, *MOVED) or {}
    assert meta.labels(moved) == {"app": "db"} and meta.annotations(moved)["mine"] == "kept"
    assert "cdi.kubevirt.io/objectTransferName" not in meta.annotations(moved)
    found = world.get(OBJECTTRANSFER, "", "move") or {}
    assert not meta.get(found, "metadata", "finalizers") and "data" not in found["status"]
    assert [note.message for note in world.notes if note.about["kind"] == "ObjectTransfer"][-1] == "Transfer complete"


@pytest.mark.parametrize("target", [{"namespace": "other"}, {"name": "moved"}])
def test_what_the_target_does_not_say_stays(target: Object) -> None:
    world = world_of()
    begin(world, target=target)
    end(world)
    assert told(world)[0] == "Complete"
    bound(world, (target.get("namespace", "default"), target.get("name", "disk")))


def test_a_datavolume_moves_with_its_claim() -> None:
    world = world_of("DataVolume")
    before = bound(world, DISK)
    begin(world, "DataVolume")
    end(world)
    assert told(world) == ("Complete", "Transfer complete")
    assert [meta.name(one) for one in world.list(DATAVOLUME)] == ["moved"]
    assert bound(world) == before
    moved = world.get(DATAVOLUME, *MOVED) or {}
    assert moved["status"]["phase"] == "Succeeded" and moved["spec"]["source"] == {"blank": {}}
    owner = meta.controller_of(world.get(PERSISTENTVOLUMECLAIM, *MOVED) or {})
    assert owner is not None and owner["uid"] == meta.uid(moved)
    assert [meta.name(one) for one in world.list(OBJECTTRANSFER)] == ["move"]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["DataVolume", "PersistentVolumeClaim"]), st.lists(st.integers(0, 3), max_size=25))
def test_an_engine_that_is_killed_at_any_moment_loses_nothing(kind: str, fates: list[int]) -> None:
    """0: one turn in peace. 1: killed before the status was written. 2: after the first action. 3: the node alone."""
    world = world_of(kind)
    before = bound(world, DISK)
    begin(world, kind)
    for fate in fates:
        keys = [("", meta.name(one)) for one in world.list(OBJECTTRANSFER)]
        for key in keys if fate < 3 else ():
            seen = controller.gather(key, world.cache, world.now)
            if fate == 0:
                world.turn(controller, key)
            elif seen is not None:
                for action in controller.plan(seen).actions[: 1 if fate == 2 else None]:
                    world.apply(action)
        node(world)
        assert world.get(PERSISTENTVOLUME, "", before) is not None
    end(world)
    assert told(world) == ("Complete", "Transfer complete")
    assert bound(world) == before
    assert [meta.name(one) for one in world.list(PERSISTENTVOLUME)] == [before]


def uses(world: World) -> None:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "disk"}}]
    world.put(POD, {"metadata": {"name": "user", "namespace": "default"}, "spec": {"volumes": volumes, "containers": []}})


@pytest.mark.parametrize(("change", "message"), [
    ({"source": {"name": "none"}}, "No source"),
    ({"target": {"namespace": "nowhere"}}, 'namespace "nowhere" not found'),
    ({"source": {"requiredAnnotations": {"a": "b"}}}, "Source lacks the annotation a=b"),
])  # fmt: skip
def test_why_it_does_not_begin(change: Object, message: str) -> None:
    world = world_of()
    begin(world, **change)
    end(world)
    assert told(world) == ("Pending", message)
    assert (world.notes[-1].type, world.notes[-1].reason, world.notes[-1].message) == ("Warning", "TransferPending", message)
    bound(world, DISK)
    world.delete(OBJECTTRANSFER, "", "move")
    end(world)
    assert world.list(OBJECTTRANSFER) == []


def test_a_claim_in_use_is_waited_for() -> None:
    world = world_of()
    uses(world)
    begin(world)
    end(world)
    assert told(world) == ("Pending", "Pods using PVC")
    world.delete(POD, "default", "user", grace_s=0)
    end(world)
    assert told(world)[0] == "Complete"


def test_the_claim_of_a_datavolume_does_not_go_alone() -> None:
    world = world_of("DataVolume")
    begin(world)
    end(world)
    assert told(world) == ("Pending", "PVC belongs to the DataVolume disk: transfer that")


def test_two_transfers_of_one_claim() -> None:
    world = world_of()
    uses(world)
    world.update(PERSISTENTVOLUMECLAIM, *DISK, {"metadata": {"annotations": {"cdi.kubevirt.io/objectTransferName": "first"}}})
    begin(world)
    end(world)
    assert told(world) == ("Pending", "Source in use by another transfer: first")


def test_a_target_that_is_there_already() -> None:
    world = world_of()
    world.put(PERSISTENTVOLUMECLAIM, {"metadata": {"name": "moved", "namespace": "other"}, "spec": _STORAGE})
    begin(world)
    end(world)
    assert told(world) == ("Pending", 'ObjectTransfer target "other/moved" already exists')


def test_a_transfer_that_is_deleted_before_it_has_begun_lets_go() -> None:
    world = world_of()
    begin(world)
    for _ in range(2):  # the finalizer, then the mark on the claim
        world.turn(controller, ("", "move"))
    assert "cdi.kubevirt.io/objectTransferName" in meta.annotations(world.get(PERSISTENTVOLUMECLAIM, *DISK) or {})
    world.delete(OBJECTTRANSFER, "", "move")
    end(world)
    assert world.list(OBJECTTRANSFER) == []
    assert "cdi.kubevirt.io/objectTransferName" not in meta.annotations(world.get(PERSISTENTVOLUMECLAIM, *DISK) or {})


def test_a_volume_that_somebody_removes_ends_it() -> None:
    world = world_of()
    volume = bound(world, DISK)
    begin(world)
    for _ in range(3):  # the finalizer, the mark, what the claim is
        world.turn(controller, ("", "move"))
    assert told(world) == ("Running", "Running")
    world.delete(PERSISTENTVOLUME, "", volume)
    end(world)
    assert told(world) == ("Error", f"PV {volume} is gone")


@pytest.mark.parametrize(("spec", "words"), [
    ({"source": {"kind": "PersistentVolumeClaim"}, "target": {}}, "Target namespace and/or target name must be supplied"),
    ({"source": {"kind": "Pod"}, "target": {"name": "x"}}, 'Unsupported kind "Pod"'),
])  # fmt: skip
def test_what_is_wrong_is_refused(spec: Object, words: str) -> None:
    made: Object = {"metadata": {"name": "x"}, "spec": spec}
    assert any(words in str(error) for error in OBJECTTRANSFER.validate(made, None))


def test_a_transfer_is_not_changed() -> None:
    made: Object = {"metadata": {"name": "x"}, "spec": {"source": {"kind": "DataVolume"}, "target": {"name": "x"}}}
    other = {**made, "spec": {**made["spec"], "target": {"name": "y"}}}
    assert "ObjectTransfer spec is immutable" in str(OBJECTTRANSFER.validate(other, made)[0])
