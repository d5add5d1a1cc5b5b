"""A local view of some kinds: listed once, then kept up to date by one watch per kind.

Holds JSON text and a few indexed fields; objects are decoded when asked for, so that ten thousand of them
cost neither memory nor pauses of the garbage collector.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import orjson

from vmpod.base.errors import Problem
from vmpod.base.tasks import Tasks
from vmpod.client.client import Client
from vmpod.client.informer import Change, Informer
from vmpod.kinds.kind import Kind
from vmpod.model.meta import Object
from vmpod.model.selectors import Selector

__all__ = ["Cache", "Change"]
Key = tuple[str, str]
Objects = list[Object]
Keys = list[Key]
_PATIENCE_S = 10.0


class Cache:
    """The local view. Reads never wait; what was written is in it after `reached`."""

    def __init__(self, client: Client, kinds: Iterable[Kind]) -> None:
        self._informers = {kind: Informer(client, kind) for kind in kinds}
        self._tasks = Tasks()

    async def start(self) -> None:
        """List every kind, then follow in the background. Raises ApiError when a list fails."""
        await asyncio.gather(*(informer.list() for informer in self._informers.values()))
        for kind, informer in self._informers.items():
            self._tasks.start(informer.follow(), f"cache {kind.resource}")

    async def stop(self) -> None:
        """Stop following."""
        await self._tasks.stop()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that are held."""
        return tuple(self._informers)

    def _informer(self, kind: Kind) -> Informer:
        try:
            return self._informers[kind]
        except KeyError:
            raise Problem(f"read {kind.resource} locally", "the cache was not told to hold them") from None

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """A fresh copy of the object, None when there is none."""
        text = self._informer(kind).text((namespace, name))
        return None if text is None else _decode(text)

    def list(self, kind: Kind, namespace: str = "", selector: Selector | None = None) -> Objects:
        """Fresh copies of all objects, or those of a namespace, that the selector matches; sorted by key."""
        return [_decode(text) for text in self._informer(kind).texts(namespace, selector)]

    def owned(self, kind: Kind, owner_uid: str) -> Objects:
        """Fresh copies of the objects that have an owner reference with this uid, sorted by key."""
        return [_decode(text) for text in self._informer(kind).owned(owner_uid)]

    def keys(self, kind: Kind, namespace: str = "") -> Keys:
        """(namespace, name) of all objects, sorted; decodes nothing."""
        return self._informer(kind).keys(namespace)

    def revision(self, kind: Kind) -> int:
        """The newest revision seen of a kind."""
        return self._informer(kind).seen

    def subscribe(self, kind: Kind, tell: Callable[[str, Object], None]) -> None:
        """Have `tell(ADDED | MODIFIED | DELETED, object)` called at each change; it must not change the object."""
        self.observe(kind, lambda change: tell(change.type, change.obj))

    def observe(self, kind: Kind, tell: Callable[[Change], None]) -> None:
        """Like `subscribe`, and the change also knows what the object was before."""
        self._informer(kind).observers.append(tell)

    async def reached(self, kind: Kind, revision: int, timeout_s: float = _PATIENCE_S) -> bool:
        """Wait until the view holds what was written of this kind at `revision`; False when it takes too long.

        Every write of a kind shows in the watch of that kind, so nothing but the written kind is waited for.
        Of a kind that is not held there is nothing to wait for.
        """
        informer = self._informers.get(kind)
        return informer is None or await informer.until(lambda: informer.seen >= revision, timeout_s)

    async def gone(
        self, kind: Kind, namespace: str, name: str, uid: str, timeout_s: float = _PATIENCE_S
    ) -> bool:
        """Wait until the object with this uid is out of the view or shows that it is being deleted."""
        informer = self._informers.get(kind)
        if informer is None:
            return True
        return await informer.until(lambda: informer.is_leaving((namespace, name), uid), timeout_s)


def _decode(text: bytes) -> Object:
    obj: Object = orjson.loads(text)
    return obj
