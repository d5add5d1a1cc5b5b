"""Disks and cards that come and go while a machine runs: one work for each brings it to what its VMI says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from vmpod.base import log
from vmpod.base.tasks import Tasks
from vmpod.client.cache import Cache
from vmpod.drivers.net.attachments import Attachment
from vmpod.drivers.qemu.qmp import Gone, Refused
from vmpod.kinds import POD
from vmpod.kinds.parts.hotplug import hotpluggable
from vmpod.model.meta import Object, get, is_deleting, uid
from vmpod.node import disksizes, hotplug, nicplug
from vmpod.node.machine_watch import Watch
from vmpod.node.prepared import PreparedVolume

_PLUG_AGAIN_S = 2.0
_log = log.get("machines")


class Plugs(Protocol):
    """Who makes a disk ready for a machine that runs."""

    async def plugged(self, volume: Object, pod: Object) -> PreparedVolume: ...


class Plugging:
    """Plugs and unplugs in the background. `vmi` finds the instance of a launcher pod, `attachment` its network by the
    pod's uid, `note` records an event: machine, type, reason, message."""

    def __init__(
        self, cache: Cache, volumes: Plugs, tasks: Tasks, vmi: Callable[[Object], Object | None],
        attachment: Callable[[str], Attachment | None], note: Callable[[Watch, str, str, str], None],
    ) -> None:  # fmt: skip
        self._cache = cache
        self._volumes = volumes
        self._tasks = tasks
        self._vmi = vmi
        self._attachment = attachment
        self._note = note
        self._busy: set[str] = set()

    def begin(self, watch: Watch) -> None:
        """Bring the disks that come and go to what the VMI says, in the background; one work for each machine."""
        if watch.seen.is_up and not watch.dormant and watch.machine.pod_uid not in self._busy:
            self._busy.add(watch.machine.pod_uid)
            self._tasks.start(self._settle(watch), f"disks of {watch.machine.name}")

    async def _settle(self, watch: Watch) -> None:
        try:
            while not await self._settle_once(watch):
                await asyncio.sleep(_PLUG_AGAIN_S)
        except (Gone, Refused) as problem:
            _log.debug("disks of %s: %s", watch.machine.name, problem)
        finally:
            self._busy.discard(watch.machine.pod_uid)

    async def _settle_once(self, watch: Watch) -> bool:
        """Whether nothing is left to do."""
        pod = self._cache.get(POD, watch.machine.namespace, watch.machine.pod)
        vmi = self._vmi(pod) if pod is not None else None
        if pod is None or vmi is None or not watch.seen.is_up or is_deleting(pod):
            return True
        there, launcher = vmi, pod
        done = await hotplug.settle(
            watch.qmp, there, lambda volume: self._volumes.plugged(volume, launcher),
            lambda volume, state: self._has_come(watch, volume, state),
            lambda volume: watch.seen.plugged.get(volume, ("",))[0] == "Ready",
        )
        watch.observe(disks=await disksizes.measure(watch.qmp))
        if done:
            kept = hotpluggable(there["spec"])
            watch.observe(plugged={one: state for one, state in watch.seen.plugged.items() if one in kept})
        done &= await self._settle_cards(watch, there, launcher)
        return done and get(self._vmi(pod), "spec") == get(there, "spec")

    async def _settle_cards(self, watch: Watch, vmi: Object, pod: Object) -> bool:
        """Whether the machine has the cards that it shall have, as far as the network has made them."""
        attachment = self._attachment(uid(pod))
        done = await nicplug.settle(
            watch.qmp, vmi, attachment, lambda kind, reason, message: self._note(watch, kind, reason, message),
            watch.mark_cards,
        )
        before, has = watch.seen.cards, await nicplug.cards(watch.qmp)
        watch.observe(cards=has)
        if before is not None and has - before:
            watch.refresh_links()
        return done and attachment == self._attachment(uid(pod))

    def _has_come(self, watch: Watch, volume: str, state: hotplug.State) -> None:
        known = dict(watch.seen.plugged)
        if volume in known and known[volume] == (state.phase, state.reason, state.message):
            return
        if known.get(volume, ("", "", ""))[2] != state.message:
            self._note(watch, "Warning" if state.is_trouble else "Normal", state.reason, state.message)
        known[volume] = (state.phase, state.reason, state.message)
        if state.phase == "UnMountedFromPod":
            del known[volume]
        watch.observe(plugged=known)
