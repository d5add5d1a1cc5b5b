"""The loops of VolumeSnapshots and of their contents: one disk becomes a layer, also while a machine runs on it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from vmpod.base.clock import SystemClock
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.client.cache import Cache
from vmpod.client.client import Client
from vmpod.kinds import (
    PERSISTENTVOLUMECLAIM,
    VOLUMESNAPSHOT,
    VOLUMESNAPSHOTCLASS,
    VOLUMESNAPSHOTCONTENT,
)
from vmpod.model.meta import Object, get, name
from vmpod.model.status import ApiError
from vmpod.node import claimdisk, layers
from vmpod.node.bases import Bases
from vmpod.node.diskusers import machine_on
from vmpod.node.snapshotlayers import layer_of
from vmpod.node.snapshots import Snapshots
from vmpod.node.translate import claim as claims
from vmpod.node.translate import volumesnapshot as translate
from vmpod.node.translate.volumesnapshot import Forget, LetGo, Seen, SnapshotPlan, TakeSnapshot
from vmpod.reconcile import apply as shell
from vmpod.reconcile.actions import Note
from vmpod.reconcile.events import Recorder
from vmpod.reconcile.loop import Key, Loop, Watch, Written, own


class VolumeSnapshots:
    """Takes snapshots of claims, and gives their layers up when their contents are deleted."""

    def __init__(
        self, client: Client, cache: Cache, paths: Paths, snapshots: Snapshots, bases: Bases, recorder: Recorder
    ) -> None:
        self._client = client
        self._cache = cache
        self._paths = paths
        self._snapshots = snapshots
        self._bases = bases
        self._recorder = recorder
        watches = (own(VOLUMESNAPSHOT), Watch(VOLUMESNAPSHOTCONTENT, _snapshot_of))
        self._loop: Loop[Seen, SnapshotPlan] = Loop(
            "volumesnapshots", VOLUMESNAPSHOT, watches, self._gather, translate.plan, None, self._apply, cache, client,
            recorder, SystemClock(),
        )  # fmt: skip
        self._contents: Loop[Object, SnapshotPlan] = Loop(
            "volumesnapshotcontents", VOLUMESNAPSHOTCONTENT, (own(VOLUMESNAPSHOTCONTENT),),
            lambda key, cache, _: cache.get(VOLUMESNAPSHOTCONTENT, *key),
            lambda content: translate.plan_content(content, cache.list(VOLUMESNAPSHOT)), None, self._apply, cache,
            client, recorder, SystemClock(),
        )  # fmt: skip

    async def start(self) -> None:
        self._loop.start()
        self._contents.start()

    async def stop(self) -> None:
        await self._loop.stop()
        await self._contents.stop()

    def _gather(self, key: Key, cache: Cache, now: datetime) -> Seen | None:
        found = cache.get(VOLUMESNAPSHOT, *key)
        if found is None:
            return None
        wanted = str(get(found, "spec", "source", "persistentVolumeClaimName", default=""))
        vmi, volume = machine_on(cache, key[0], wanted) or ({}, "disk")
        look = self._snapshots.look(translate.as_content(found, name(vmi), volume), now)
        claim = cache.get(PERSISTENTVOLUMECLAIM, key[0], wanted)
        content = cache.get(VOLUMESNAPSHOTCONTENT, "", translate.content_name(found))
        pending = claims.is_import_pending(claim) if claim is not None else ""
        return Seen(found, content, tuple(cache.list(VOLUMESNAPSHOTCLASS)), look, pending)

    async def _apply(self, action: Any) -> Written | None:
        match action:
            case TakeSnapshot(seen, policy):
                return await self._take(seen, policy)
            case LetGo(content):
                await self._drop(layer_of(content))
                return await shell.apply(self._client, translate.let_go(content))
            case Forget(found):
                await self._drop(translate.layer_of(found))
                return await shell.apply(self._client, translate.forget(found))
            case _:
                return await shell.apply(self._client, action)

    async def _take(self, seen: Seen, policy: str) -> Written | None:
        try:
            self._check_disk(seen)
            moment = await self._snapshots.freeze(seen.look)
        except (Problem, OSError) as problem:
            why = problem.why if isinstance(problem, Problem) else str(problem)
            await self._recorder.record(Note("Warning", "SnapshotCreationFailed", str(problem), seen.snapshot))
            told = translate.failure(seen, why)
            return await shell.apply(self._client, told[0]) if told else None
        content, status = translate.made(seen, policy, moment)
        try:
            await self._client.create(VOLUMESNAPSHOTCONTENT, content)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        whole = await self._client.patch(
            VOLUMESNAPSHOTCONTENT, "", name(content), {"status": status}, subresource="status")  # fmt: skip
        return await shell.apply(self._client, translate.success(seen.snapshot, whole))

    def _check_disk(self, seen: Seen) -> None:
        """Raise Problem for a claim that holds files: only disks can be frozen."""
        folder = self._folder(seen)
        if claimdisk.find(self._paths, folder) is None and any(folder.iterdir()):
            raise Problem("take a snapshot", f"the claim {seen.claim} holds files, not a disk", reason="NotSupported")

    def _folder(self, seen: Seen) -> Path:
        return self._paths.volume(name(seen.look.disks[0].bound or {}))

    async def _drop(self, layer: str) -> None:
        """No snapshot needs the layer any more; disks that lie on it keep it."""
        if layer:
            layers.let_go(self._paths, layer)
        await self._bases.sweep()


def _snapshot_of(content: Object) -> list[Key]:
    reference = get(content, "spec", "volumeSnapshotRef", default={})
    return [(str(reference.get("namespace") or ""), str(reference.get("name") or ""))]


