"""Keeps the network's forwards and names equal to the Services and EndpointSlices of the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from vmpod.base import log
from vmpod.base.tasks import Tasks
from vmpod.client.cache import Cache, Change
from vmpod.drivers.net.config import NetworkConfig
from vmpod.drivers.net.services import Forward
from vmpod.drivers.net.snapshot import Snapshot
from vmpod.kinds import ENDPOINTSLICE, SERVICE, VIRTUALMACHINEINSTANCE
from vmpod.node.translate.service import DOMAIN, Key, Translation, guests_of, translate

_log = log.get("node.network")
_PAUSE_S = 0.02  # changes come in bursts: a rollout touches several slices at once
_RETRY_S = 1.0
_REFRESH_S = 5.0


class Publisher(Protocol):
    """What of the network driver is needed here."""

    @property
    def config(self) -> NetworkConfig: ...

    async def publish(self, entries: Sequence[Forward]) -> None: ...

    async def announce(self, snapshot: Snapshot) -> None: ...

    async def refresh(self) -> None: ...


def _ignore(service: Key, why: str) -> None:
    return None


class ServiceMap:
    """Translates all Services at each change, and hands the result over; the network finds what differs.

    `warn` is told once of each thing a Service asks for and does not get.
    """

    def __init__(
        self, cache: Cache, network: Publisher, *, domain: str = DOMAIN, warn: Callable[[Key, str], None] = _ignore
    ) -> None:
        self._cache, self._network, self._domain, self._warn = cache, network, domain, warn
        self._changed = asyncio.Event()
        self._tasks = Tasks()
        self._warned: set[tuple[Key, str]] = set()
        self._machines = VIRTUALMACHINEINSTANCE in cache.kinds
        for kind in (SERVICE, ENDPOINTSLICE):
            cache.observe(kind, lambda change: self._changed.set())
        if self._machines:
            cache.observe(VIRTUALMACHINEINSTANCE, self._machine_changed)

    def _machine_changed(self, change: Change) -> None:
        """A machine's status changes a dozen times while it starts; what its guest is told, once."""
        now = {} if change.type == "DELETED" else guests_of([change.obj], self._domain)
        if now != guests_of([change.previous] if change.previous else [], self._domain):
            self._changed.set()

    async def start(self) -> None:
        """Publish what the cache holds, then follow. The cache must have been started.

        Raises Problem when the host refuses the first time; later failures are logged and tried again.
        """
        await self.publish()
        self._tasks.start(self._follow(), "service map")

    async def stop(self) -> None:
        """Stop following; what was published stays in force."""
        await self._tasks.stop()

    async def _follow(self) -> None:
        while True:
            try:
                if await self._is_changed():
                    await self.publish()
                await self._network.refresh()
            except Exception:
                _log.exception("services not published, trying again in %g s", _RETRY_S)
                self._changed.set()
                await asyncio.sleep(_RETRY_S)

    async def _is_changed(self) -> bool:
        """Wait for a change and for its burst to end, or until the network is due to be looked after."""
        try:
            await asyncio.wait_for(self._changed.wait(), _REFRESH_S)
        except TimeoutError:
            return False
        await asyncio.sleep(_PAUSE_S)
        return True

    async def publish(self) -> None:
        """Make the network agree with the cache now."""
        self._changed.clear()
        found = self._translate()
        await self._network.publish(found.forwards)
        await self._network.announce(found.snapshot)
        for warning in found.warnings:
            if warning not in self._warned:
                self._warn(*warning)
        self._warned = set(found.warnings)

    def _translate(self) -> Translation:
        machines = self._cache.list(VIRTUALMACHINEINSTANCE) if self._machines else []
        config = self._network.config
        nodes = (config.gateway, config.gateway6) if config.block6 else (config.gateway,)
        return translate(
            self._cache.list(SERVICE), self._cache.list(ENDPOINTSLICE), node_addresses=nodes,
            guests=guests_of(machines, self._domain), domain=self._domain,
        )  # fmt: skip
