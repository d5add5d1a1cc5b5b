"""The loop of PersistentVolumeClaims: volumes are folders of the home, images come in as copy-on-write bases."""

from __future__ import annotations

import asyncio
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from vmpod.base import log
from vmpod.base.clock import SystemClock
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.base.tasks import Tasks
from vmpod.client.cache import Cache
from vmpod.client.client import Client
from vmpod.drivers.disks.importer import no_room
from vmpod.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD, STORAGECLASS, VIRTUALMACHINEINSTANCE
from vmpod.kinds.parts.hotplug import hotpluggable, source_name
from vmpod.model import meta
from vmpod.model.meta import Object, get, is_deleting, name, namespace, uid
from vmpod.model.status import ApiError, unavailable
from vmpod.node import claimdisk, filling, imports, uploads
from vmpod.node.containerdisks import ContainerDisks
from vmpod.node.filling import Filler
from vmpod.node.translate import claim as claims
from vmpod.node.translate.claim import (
    CancelImport,
    ClaimPlan,
    MakeVolume,
    OfferUpload,
    RemoveVolume,
    Seen,
    StartImport,
    TakeUpload,
)
from vmpod.node.uploads import Upload
from vmpod.node.volumes import Volumes
from vmpod.reconcile import apply as shell
from vmpod.reconcile.actions import Create, Note, Patch
from vmpod.reconcile.events import Recorder
from vmpod.reconcile.loop import Key, Loop, Watch, Written, own

_log = log.get("claims")
_ENDED = ("Succeeded", "Failed")
_PROGRESS_EVERY_S = 1.0
_READY_CHECKS, _READY_EVERY_S = 100, 0.1


class Claims:
    """Binds claims, fills them, and removes volumes whose claim is gone."""

    def __init__(
        self, client: Client, cache: Cache, paths: Paths, disks: ContainerDisks, volumes: Volumes, recorder: Recorder,
        node: str,
    ) -> None:  # fmt: skip
        self._client = client
        self._cache = cache
        self._paths = paths
        self._disks = disks
        self._recorder = recorder
        self._node = node
        self._filler = Filler(cache, paths, disks, volumes, recorder)
        self._tasks = Tasks()
        self._importing: dict[str, asyncio.Task[None]] = {}
        watches = (
            own(PERSISTENTVOLUMECLAIM),
            Watch(POD, _claims_of),
            Watch(VIRTUALMACHINEINSTANCE, plugged_claims_of),
            Watch(PERSISTENTVOLUME, lambda volume: [_claim_key(volume)]),
        )
        self.loop: Loop[Seen, ClaimPlan] = Loop(
            "claims", PERSISTENTVOLUMECLAIM, watches, self._gather, claims.plan, lambda seen, _: claims.status(seen),
            self._apply, cache, client, recorder, SystemClock(),
        )  # fmt: skip
        self.reclaim: Loop[Object, ClaimPlan] = Loop(
            "volumes", PERSISTENTVOLUME, (own(PERSISTENTVOLUME), Watch(PERSISTENTVOLUMECLAIM, _volumes_of)),
            lambda key, cache, _: cache.get(PERSISTENTVOLUME, *key), self._plan_volume, None,
            self._apply_volume, cache, client, recorder, SystemClock(),
        )  # fmt: skip

    async def start(self) -> None:
        """Begin; what an earlier engine left half-made, and bases that nothing uses any more, are cleared first.

        Uploads that have arrived whole are gone on with, and downloads that were cut off.
        """
        wanted = {self._kept(one) for one in self._cache.list(PERSISTENTVOLUMECLAIM) if claims.is_import_open(one)}
        for left in self._paths.staging.glob("*"):
            if not uploads.is_whole(left) and left not in wanted:
                await asyncio.to_thread(shutil.rmtree, left, True)
        await self._disks.forget_gone()
        self.loop.start()
        self.reclaim.start()

    async def stop(self) -> None:
        await self.loop.stop()
        await self.reclaim.stop()
        await self._tasks.stop()

    def _gather(self, key: Key, cache: Cache, now: datetime) -> Seen | None:
        claim = cache.get(PERSISTENTVOLUMECLAIM, *key)
        if claim is None:
            return None
        named = get(claim, "spec", "volumeName") or claims.volume_name(claim)
        return Seen(claim, cache.get(PERSISTENTVOLUME, "", named), tuple(cache.list(STORAGECLASS)), _users(key, cache),
                    uid(claim) in self._importing, self._node, self._is_staged(claim),
                    _obstacle(claim, cache), _mounted(key, cache))  # fmt: skip

    def _arrived(self, claim: Object) -> Path | None:
        """The upload into a claim that is here as a whole."""
        return uploads.arrived(self._paths.staging, uid(claim)) if claims.UPLOAD in meta.annotations(claim) else None

    def _is_staged(self, claim: Object) -> bool:
        return self._arrived(claim) is not None or self._kept(claim).exists()

    def _kept(self, claim: Object) -> Path:
        return imports.kept_folder(self._paths.staging, uid(claim))

    def _discard(self, claim_uid: str) -> None:
        """Remove what is in staging for a claim; runs in a thread."""
        uploads.discard(self._paths.staging, claim_uid)
        shutil.rmtree(imports.kept_folder(self._paths.staging, claim_uid), ignore_errors=True)

    async def _apply(self, action: Any) -> Written | None:
        match action:
            case MakeVolume(volume):
                self._folder(name(volume)).mkdir(mode=0o777, parents=True, exist_ok=True)
                self._folder(name(volume)).chmod(0o777)
                written = await shell.apply(self._client, Create(PERSISTENTVOLUME, volume))
                await self._client.patch(PERSISTENTVOLUME, "", name(volume), {"status": {"phase": "Bound"}},
                                         subresource="status")  # fmt: skip
                return written
            case StartImport(claim, volume_name, restarts):
                work = self._import(claim, volume_name, restarts)
                self._importing[uid(claim)] = self._tasks.start(work, f"import {name(claim)}")
                return None
            case OfferUpload(claim, volume_name):
                await self._report(claim, self._offered(claim, volume_name))
                return None
            case TakeUpload(claim, volume_name):
                work = self._take(claim, volume_name)
                self._importing[uid(claim)] = self._tasks.start(work, f"upload {name(claim)}")
                return None
            case CancelImport(claim):
                await self._cancel(uid(claim))
                await asyncio.to_thread(self._discard, uid(claim))
                return None
            case _:
                return await shell.apply(self._client, action)

    def _folder(self, volume: str) -> Path:
        return self._paths.volume(volume)

    # imports

    async def _import(self, claim: Object, volume: str, restarts: int) -> None:
        """One try to fill a claim, to its end; reports on the claim and looks at it again."""
        try:
            await asyncio.sleep(claims.retry_s(restarts))
            await self._report(claim, claims.as_progress("Running", restarts=restarts))
            async with self._disks.bases.kept():
                await self._filler.fill(claim, self._folder(volume), self._progress_of(claim))
            reserved = await self._filler.reserve(claim, self._folder(volume))
            await self._report(claim, claims.as_progress("Succeeded", progress="100.0%", message="Import Complete",
                                                         restarts=restarts, reserved=reserved))  # fmt: skip
        except Problem as problem:
            await self._failed(claim, problem, restarts)
        except OSError as error:
            told = no_room(f"import into the claim {name(claim)}", error, str(self._paths.home))
            await self._failed(claim, told, restarts)
        finally:
            self._importing.pop(uid(claim), None)
            self.loop.enqueue((namespace(claim), name(claim)))
        await self._disks.bases.sweep()  # a base that was refused is nobody's

    async def _cancel(self, claim_uid: str) -> None:
        """End an import; returns when it has left nothing half-made."""
        task = self._importing.get(claim_uid)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _failed(self, claim: Object, problem: Problem, restarts: int) -> None:
        phase = "Failed" if imports.is_final(problem) else "Pending"
        reason = problem.reason or "ImportFailed"
        await self._recorder.record(Note("Warning", reason, problem.render(), claim))
        await self._report(claim, claims.as_progress(phase, message=problem.render(), reason=reason,
                                                     restarts=restarts + 1))  # fmt: skip

    async def _report(self, claim: Object, patch: Object) -> None:
        try:
            await self._client.patch(PERSISTENTVOLUMECLAIM, namespace(claim), name(claim), patch)
        except ApiError as error:
            if error.reason != "NotFound":
                raise

    def _progress_of(self, claim: Object) -> imports.Progress:
        loop = asyncio.get_running_loop()
        last = [0.0]

        def tell(line: dict[str, Any]) -> None:
            if loop.time() - last[0] < _PROGRESS_EVERY_S:
                return
            last[0] = loop.time()
            text = f"{line['percent']:.2f}%" if "percent" in line else ""
            patch = {"metadata": {"annotations": {claims.PROGRESS: text or str(line["phase"])}}}
            self._tasks.start(self._report(claim, patch), f"progress {name(claim)}")

        return tell

    # uploads

    def _offered(self, claim: Object, volume: str) -> Object:
        """What is said of an upload's target: it waits, or what an earlier engine took in is there already."""
        if filling.is_filled(self._paths, self._folder(volume), claim):
            return dict(claims.as_progress("Succeeded", progress="100.0%", message="Upload Complete"))
        return dict(claims.as_offer())

    async def open_upload(self, key: Key, size: int) -> Upload:
        """Where an image of `size` bytes (0: not known) is written to. Raises ApiError 503 when none is awaited."""
        claim = await self._awaiting(key)
        volume = str(get(claim, "spec", "volumeName") or claims.volume_name(claim))
        if uid(claim) in self._importing or self._arrived(claim):
            raise unavailable(f"another upload into {key[0]}/{key[1]} is under way")
        if filling.is_filled(self._paths, self._folder(volume), claim):
            await self._report(claim, self._offered(claim, volume))
            raise unavailable(f"rejecting Upload Request for PVC {key[1]} that already finished uploading")
        upload = Upload(self._paths.staging, size, uid(claim), archive=claims.is_archive(claim),
                        limit=claims.upload_limit(claim))  # fmt: skip
        self._importing[uid(claim)] = upload.task = self._tasks.start(
            self._take(claim, volume, upload), f"upload {name(claim)}")  # fmt: skip
        await asyncio.sleep(0)  # a task that is cancelled before it has begun never clears up
        return upload

    async def _awaiting(self, key: Key) -> Object:
        """The claim, once it says that it waits for an upload."""
        for _ in range(_READY_CHECKS):
            claim = self._cache.get(PERSISTENTVOLUMECLAIM, *key)
            if claim is None or claims.UPLOAD not in meta.annotations(claim) or is_deleting(claim):
                break
            said = meta.annotations(claim)
            if said.get(claims.POD_READY) == "true":
                return claim
            if said.get(claims.RUNNING_REASON) == claims.TARGET_IN_USE:
                raise unavailable(said.get(claims.RUNNING_MESSAGE, ""))
            await asyncio.sleep(_READY_EVERY_S)
        raise unavailable(f"the claim {key[0]}/{key[1]} is not ready for an upload")

    async def _take(self, claim: Object, volume: str, upload: Upload | None = None) -> None:
        """See an upload to its end: it arrives (without `upload` it has), is checked, and fills the claim."""
        told: Problem | None = Problem(f"upload into the claim {name(claim)}", "it was given up")
        is_kept = False
        try:
            path = await upload.arrived() if upload else self._arrived(claim)
            job = imports.job_for(self._paths, "file", str(path), name="the uploaded image", ours=True,
                                  sha256=upload.sha256 if upload else "")  # fmt: skip
            async with self._disks.bases.kept():
                await self._filler.take(claim, self._folder(volume), job, self._progress_of(claim))
            reserved = await self._filler.reserve(claim, self._folder(volume))
            await self._report(claim, claims.as_progress("Succeeded", progress="100.0%", message="Upload Complete",
                                                         reserved=reserved))  # fmt: skip
            told = None
        except Problem as problem:
            told = await self._upload_failed(claim, problem)
        except OSError as error:
            full = no_room(f"upload into the claim {name(claim)}", error, str(self._paths.home))
            told = await self._upload_failed(claim, full)
        except asyncio.CancelledError:
            is_kept = self._arrived(claim) is not None  # for the next engine, unless the claim goes
            raise
        finally:
            try:
                if not is_kept:
                    await asyncio.shield(asyncio.to_thread(uploads.discard, self._paths.staging, uid(claim)))
            finally:
                self._importing.pop(uid(claim), None)
                self.loop.enqueue((namespace(claim), name(claim)))
                if upload:
                    upload.end(told)  # whoever is answered finds nothing left of it, and may send again
        await self._disks.bases.sweep()

    async def _upload_failed(self, claim: Object, problem: Problem) -> Problem:
        """Tell why on the claim, which waits for a better image."""
        reason = problem.reason or "UploadFailed"
        await self._recorder.record(Note("Warning", reason, problem.render(), claim))
        await self._report(claim, claims.as_offer(message=problem.render(), reason=reason))
        return problem

    # reclaiming

    def _plan_volume(self, volume: Object) -> ClaimPlan:
        """A volume goes with its claim (reclaim policy Delete), or stays Released (Retain)."""
        if not claims.is_ours(volume):
            return ClaimPlan()
        key = _claim_key(volume)
        claim = self._cache.get(PERSISTENTVOLUMECLAIM, *key)
        if claim is not None and uid(claim) == get(volume, "spec", "claimRef", "uid"):
            return ClaimPlan(() if get(volume, "status", "phase") == "Bound" else (_phase(volume, "Bound"),))
        if is_deleting(volume) or get(volume, "spec", "persistentVolumeReclaimPolicy") == "Delete":
            return ClaimPlan((RemoveVolume(volume),))
        if get(volume, "status", "phase") == "Released":
            return ClaimPlan()
        return ClaimPlan((_phase(volume, "Released"),))

    async def _apply_volume(self, action: Any) -> Written | None:
        if isinstance(action, RemoveVolume):
            return await self._remove(action.volume)
        return await shell.apply(self._client, action)

    async def _remove(self, volume: Object) -> Written | None:
        """Remove a volume's object, and its data unless they are to be retained; a base nothing else uses goes too."""
        claim_uid = get(volume, "spec", "claimRef", "uid", default="")
        await self._cancel(claim_uid)
        await asyncio.to_thread(self._discard, claim_uid)
        if get(volume, "spec", "persistentVolumeReclaimPolicy") == "Retain":
            _log.info("the volume %s is gone, its data are retained in %s", name(volume), self._folder(name(volume)))
        else:
            await asyncio.to_thread(claimdisk.erase, self._paths, self._folder(name(volume)))
        await self._disks.bases.sweep()
        try:
            fresh = await self._client.patch(PERSISTENTVOLUME, "", name(volume), {"metadata": {"finalizers": None}})
            if not is_deleting(fresh):
                await self._client.delete(PERSISTENTVOLUME, "", name(volume), uid=uid(volume))
        except ApiError as error:
            if error.reason != "NotFound":
                raise
        return None


def _phase(volume: Object, phase: str) -> Patch:
    return Patch(PERSISTENTVOLUME, "", name(volume), {"status": {"phase": phase}}, "status")


def plugged_claims_of(vmi: Object) -> list[Key]:
    """The claims that a machine has or had plugged in: its launcher may have been made without them."""
    if get(vmi, "status", "phase") in _ENDED:
        return []
    rows = get(vmi, "status", "volumeStatus", default=())
    held = [get(row, "persistentVolumeClaimInfo", "claimName") for row in rows if "hotplugVolume" in row]
    wanted = [source_name(one) for one in hotpluggable(vmi.get("spec") or {}).values()]
    return [(namespace(vmi), str(one)) for one in {*held, *wanted} if one]


def _users(key: Key, cache: Cache) -> tuple[str, ...]:
    """The pods that have not ended and mount a claim, and the machines that have it plugged in."""
    pods = tuple(name(pod) for pod in cache.list(POD, key[0])
                 if key in _claims_of(pod) and get(pod, "status", "phase") not in _ENDED)  # fmt: skip
    return pods + tuple(name(vmi) for vmi in cache.list(VIRTUALMACHINEINSTANCE, key[0])
                        if key in plugged_claims_of(vmi))  # fmt: skip


def _mounted(key: Key, cache: Cache) -> tuple[str, ...]:
    """The pods that run with a claim mounted, and the machines that it is plugged into."""
    pods = tuple(name(pod) for pod in cache.list(POD, key[0])
                 if get(pod, "status", "phase") == "Running" and key in _claims_of(pod))  # fmt: skip
    return pods + tuple(name(vmi) for vmi in cache.list(VIRTUALMACHINEINSTANCE, key[0])
                        if key in _plugged_in(vmi))  # fmt: skip


def _plugged_in(vmi: Object) -> list[Key]:
    if get(vmi, "status", "phase") in _ENDED:
        return []
    return [(namespace(vmi), str(get(row, "persistentVolumeClaimInfo", "claimName")))
            for row in get(vmi, "status", "volumeStatus", default=())
            if "hotplugVolume" in row and row.get("phase") == "Ready"]  # fmt: skip


def _obstacle(claim: Object, cache: Cache) -> claims.Obstacle:
    """Why the claim that this one is to be a copy of cannot be copied now."""
    key = claims.copied(claim)
    if key is None:
        return "", ""
    source = cache.get(PERSISTENTVOLUMECLAIM, *key)
    volume = cache.get(PERSISTENTVOLUME, "", get(source, "spec", "volumeName") or "")
    return claims.copy_obstacle(key, source, volume, _users(key, cache))


def _claims_of(pod: Object) -> list[Key]:
    """The claims that a pod mounts."""
    return [(namespace(pod), claim) for volume in get(pod, "spec", "volumes", default=[])
            if (claim := get(volume, "persistentVolumeClaim", "claimName"))]  # fmt: skip


def _volumes_of(claim: Object) -> list[Key]:
    return [("", get(claim, "spec", "volumeName") or claims.volume_name(claim))]


def _claim_key(volume: Object) -> Key:
    return (get(volume, "spec", "claimRef", "namespace") or "", get(volume, "spec", "claimRef", "name") or "")
