"""The containers of this home as podman shows them: read once by labels, then kept true.

Of every running container the end of its process is waited for by the kernel's word (pidfd), so that nothing
is polled; after an end podman is asked for the exit code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from vmpod.base import log
from vmpod.base.errors import Problem
from vmpod.base.tasks import Tasks
from vmpod.drivers.podman import client as podman_
from vmpod.drivers.podman.client import Podman
from vmpod.drivers.podman.container import NAMESPACE, POD, POD_NAME, Container

_log = log.get("node")
_SETTLE_S = 0.02
_AGAIN_S = 1.0
_REREAD_S = 30.0
Key = tuple[str, str]


class Observed:
    """What is on the host. `changed(container)` is called after each change that was not asked for."""

    def __init__(self, podman: Podman, changed: Callable[[Container], None]) -> None:
        self._podman = podman
        self._changed = changed
        self._containers: dict[str, Container] = {}
        self._watched: dict[str, asyncio.Task[None]] = {}
        self._tasks = Tasks()

    async def start(self) -> None:
        """Find every container that carries this home's label, and follow them."""
        await self.read_all()
        self._tasks.start(self._reread(), "read containers again")

    async def stop(self) -> None:
        await self._tasks.stop()

    async def read_all(self) -> None:
        """Compare with podman's whole list: containers may have been made or removed behind our back."""
        before = dict(self._containers)
        found = {one.id: one for one in await self._podman.containers({POD: ""})}
        for id, one in found.items():
            self._put(one)
            if id in before and before[id].state != one.state:
                self._changed(one)
        for id in before.keys() - found.keys():
            if self._containers.get(id) is before[id]:
                self.forget(id)
                self._changed(before[id])

    async def _reread(self) -> None:
        while True:
            await asyncio.sleep(_REREAD_S)
            try:
                await self._podman.ensure()
                await self.read_all()
            except Problem as problem:
                _log.warning("%s", problem)

    def of(self, uid: str) -> tuple[Container, ...]:
        """The containers of a pod."""
        return tuple(one for one in self._containers.values() if one.pod_uid == uid)

    def find(self, name: str) -> Container | None:
        """A container by its name in podman."""
        return next((one for one in self._containers.values() if one.name == name), None)

    def pods(self) -> dict[str, Key]:
        """Namespace and name of every pod that has a container, by uid."""
        return {
            one.pod_uid: (one.labels.get(NAMESPACE, ""), one.labels.get(POD_NAME, ""))
            for one in self._containers.values()
        }

    async def update(self, id: str) -> Container | None:
        """Look at one container now."""
        one = await self._podman.inspect(id)
        if one is None:
            self.forget(id)
        else:
            self._put(one)
        return one

    def forget(self, id: str) -> None:
        self._containers.pop(id, None)
        watch = self._watched.pop(id, None)
        if watch is not None and watch is not asyncio.current_task():
            watch.cancel()

    def _put(self, one: Container) -> None:
        self._containers[one.id] = one
        if one.is_running and one.id not in self._watched:
            self._watched[one.id] = self._tasks.start(self._watch(one), f"end of {one.name}")

    async def _watch(self, one: Container) -> None:
        """Wait for the end of its process, then until podman knows of it."""
        try:
            await podman_.exited(one.pid)
            seen = await self._after(one)
        except Problem as problem:
            _log.warning("the end of %s was not seen: %s", one.name, problem)
            return
        finally:
            if self._watched.get(one.id) is asyncio.current_task():
                self._watched.pop(one.id)
        if seen is None:
            self._containers.pop(one.id, None)
        else:
            self._put(seen)
        self._changed(seen or one)

    async def _after(self, one: Container) -> Container | None:
        """The container once podman knows that this run of it is over; a podman that is gone is waited for."""
        while True:
            try:
                seen = await self._podman.inspect(one.id)
            except Problem as problem:
                _log.warning("the end of %s: %s", one.name, problem)
                await asyncio.sleep(_AGAIN_S)
                continue
            if seen is None or not seen.is_running or seen.pid != one.pid:
                return seen
            await asyncio.sleep(_SETTLE_S)
