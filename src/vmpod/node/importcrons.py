"""The loop of DataImportCrons: looks by schedule which image a registry has under a tag, and notes its digest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vmpod.base import clock
from vmpod.base.clock import SystemClock, rfc3339
from vmpod.base.errors import Problem
from vmpod.client.cache import Cache
from vmpod.client.client import Client
from vmpod.kinds import DATAIMPORTCRON
from vmpod.kinds.dataimportcron import DESIRED, LAST
from vmpod.model import cron
from vmpod.model.meta import Object, get, is_deleting, name, namespace
from vmpod.model.meta import annotations as annotations_of
from vmpod.node.containerdisks import ContainerDisks
from vmpod.reconcile import apply as shell
from vmpod.reconcile.actions import Note, Patch
from vmpod.reconcile.events import Recorder
from vmpod.reconcile.loop import Key, Loop, Written, own

_RETRY_S = 60.0
_LONGEST_S = 3600.0


@dataclass(frozen=True)
class Seen:
    """A cron, and the time."""

    cron: Object
    now: datetime


@dataclass(frozen=True)
class Look:
    """Ask the registry for the image."""

    cron: Object


@dataclass(frozen=True)
class CronPlan:
    """What to do now, and when to look again."""

    actions: tuple[Look, ...] = ()
    again_in: float | None = None
    events: tuple[Note, ...] = ()


def plan(seen: Seen) -> CronPlan:
    """Look at once the first time, then by schedule; a look that fails is made again soon."""
    pause = None if is_deleting(seen.cron) else wait_s(seen.cron, seen.now)
    if pause is None:
        return CronPlan()
    return CronPlan((Look(seen.cron),), _RETRY_S) if pause <= 0 else CronPlan(again_in=min(_LONGEST_S, pause))


def wait_s(found: Object, now: datetime) -> float | None:
    """Seconds until the next look; None where none is due any more."""
    told, schedule = annotations_of(found).get(LAST), get(found, "spec", "schedule", default="")
    if not told:
        return 0.0
    moment = cron.parse(schedule).after(clock.parse(told)) if schedule else None
    return None if moment is None else (moment - now).total_seconds()


class ImportCrons:
    """Keeps the digests of all crons up to date."""

    def __init__(self, client: Client, cache: Cache, disks: ContainerDisks, recorder: Recorder) -> None:
        self._client = client
        self._disks = disks
        self._recorder = recorder
        self._clock = SystemClock()
        self._loop: Loop[Seen, CronPlan] = Loop(
            "importcrons", DATAIMPORTCRON, (own(DATAIMPORTCRON),), _gather, plan, None, self._apply, cache, client,
            recorder, self._clock,
        )  # fmt: skip

    async def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    async def _apply(self, action: Any) -> Written | None:
        if not isinstance(action, Look):
            return await shell.apply(self._client, action)
        found = action.cron
        registry = get(found, "spec", "template", "spec", "source", "registry", default={})
        image, secret = str(registry.get("url", "")).removeprefix("docker://"), registry.get("secretRef")
        try:
            if registry.get("certConfigMap") or registry.get("platform"):
                return await self._note(found, await self._disks.digest(
                    self._disks.remote(image, registry, namespace(found))))  # fmt: skip
            there, warning = await self._disks.obtain(
                image, policy="Always", namespace=namespace(found), secrets=[secret] if secret else [])  # fmt: skip
        except Problem as problem:
            await self._recorder.record(Note("Warning", "ImportCronFailed", problem.render(), found))
            return None
        if warning:
            await self._recorder.record(Note("Warning", "LocalImage", warning, found))
        return await self._note(found, there.digest or f"sha256:{there.id}")

    async def _note(self, found: Object, digest: str) -> Written | None:
        marks = {DESIRED: digest, LAST: rfc3339(self._clock.now())}
        patch = Patch(DATAIMPORTCRON, namespace(found), name(found), {"metadata": {"annotations": marks}})
        return await shell.apply(self._client, patch)


def _gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    found = cache.get(DATAIMPORTCRON, *key)
    return None if found is None else Seen(found, now)
