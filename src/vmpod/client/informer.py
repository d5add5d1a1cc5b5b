"""One kind, kept up to date: list, watch, list again when the watch cannot go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from vmpod.base import log
from vmpod.client.client import Client
from vmpod.kinds.kind import Kind
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.model.selectors import Selector
from vmpod.model.status import ApiError

_log = log.get("cache")
_GONE = 410
_PAUSES_S = (0.02, 0.05, 0.2, 1.0, 5.0)  # before watching again, by failures in a row

Key = tuple[str, str]


class Change:
    """Something that happened to an object. Decoded once, and only when somebody looks."""

    def __init__(self, type_: str, text: bytes, before: bytes | None) -> None:
        self.type = type_
        self._text = text
        self._before = before

    @cached_property
    def obj(self) -> Object:
        """What the object is now; of a deletion, its last state."""
        obj: Object = orjson.loads(self._text)
        return obj

    @cached_property
    def previous(self) -> Object | None:
        """What it was before, if it was known."""
        return orjson.loads(self._before) if self._before is not None else None


@dataclass(frozen=True, slots=True)
class _Entry:
    text: bytes
    revision: int
    uid: str
    labels: dict[str, str]
    owners: tuple[str, ...]
    deleting: bool


def _entry(text: bytes) -> tuple[Key, _Entry]:
    obj: Object = orjson.loads(text)
    owners = tuple(str(owner.get("uid", "")) for owner in meta.owner_references(obj))
    entry = _Entry(text, meta.revision(obj), meta.uid(obj), meta.labels(obj), owners, meta.is_deleting(obj))
    return (meta.namespace(obj), meta.name(obj)), entry


class Informer:
    """The entries of one kind and who wants to know of changes."""

    def __init__(self, client: Client, kind: Kind) -> None:
        self.kind = kind
        self.seen = 0
        self.observers: list[Callable[[Change], None]] = []
        self._client = client
        self._namespaces: dict[str, dict[str, _Entry]] = {}
        self._owned: dict[str, set[Key]] = {}
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    # reading

    def _find(self, key: Key) -> _Entry | None:
        return self._namespaces.get(key[0], {}).get(key[1])

    def _each(self, namespace: str) -> Iterator[tuple[Key, _Entry]]:
        for space in [namespace] if namespace else sorted(self._namespaces):
            for name, entry in sorted(self._namespaces.get(space, {}).items(), key=_by_name):
                yield (space, name), entry

    def text(self, key: Key) -> bytes | None:
        entry = self._find(key)
        return entry.text if entry else None

    def texts(self, namespace: str, selector: Selector | None) -> list[bytes]:
        each = self._each(namespace)
        return [entry.text for _, entry in each if selector is None or selector.matches(entry.labels)]

    def owned(self, owner_uid: str) -> list[bytes]:
        entries = (self._find(key) for key in sorted(self._owned.get(owner_uid, ())))
        return [entry.text for entry in entries if entry is not None]

    def keys(self, namespace: str) -> list[Key]:
        return [key for key, _ in self._each(namespace)]

    def is_leaving(self, key: Key, uid: str) -> bool:
        """Whether the object with this uid is gone or being deleted."""
        entry = self._find(key)
        return entry is None or entry.uid != uid or entry.deleting

    # following

    async def list(self) -> None:
        """Take over the present, telling observers of what is new, changed and gone."""
        texts, revision = await self._client.list_bytes(self.kind)
        present = dict(_entry(text) for text in texts)
        known = dict(self._each(""))
        for key, entry in known.items():
            if key not in present or present[key].uid != entry.uid:
                self._drop(key, entry.text)
        for key, entry in present.items():
            old = self._find(key)
            if old is None or old.revision != entry.revision:
                self._keep(key, entry)
        self._advance(revision)

    async def follow(self) -> None:
        """Watch for ever; a failure of the connection only costs time."""
        failures = 0
        expired = False
        while True:
            try:
                if expired:
                    await self.list()
                    expired = False
                async with aclosing(self._client.watch_bytes(self.kind, revision=self.seen)) as events:
                    async for type_, text in events:
                        self._take(type_, text)
                        failures = 0
            except Exception as error:
                expired = isinstance(error, ApiError) and error.code == _GONE
                _log.debug("watch of %s ended: %s", self.kind.resource, error)
                failures += 1
            await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])

    def _take(self, type_: str, text: bytes) -> None:
        key, entry = _entry(text)
        if type_ == "DELETED":
            if self._find(key) is not None:
                self._drop(key, text)
        elif type_ != "BOOKMARK":
            self._keep(key, entry)
        self._advance(entry.revision)

    def _keep(self, key: Key, entry: _Entry) -> None:
        old = self._find(key)
        self._index(key, old, entry)
        self._namespaces.setdefault(key[0], {})[key[1]] = entry
        self._tell(Change("MODIFIED" if old else "ADDED", entry.text, old.text if old else None))

    def _drop(self, key: Key, text: bytes) -> None:
        old = self._namespaces[key[0]].pop(key[1])
        if not self._namespaces[key[0]]:
            del self._namespaces[key[0]]
        self._index(key, old, None)
        self._tell(Change("DELETED", text, old.text))

    def _index(self, key: Key, old: _Entry | None, new: _Entry | None) -> None:
        for owner in old.owners if old else ():
            keys = self._owned.get(owner, set())
            keys.discard(key)
            if not keys:
                self._owned.pop(owner, None)
        for owner in new.owners if new else ():
            self._owned.setdefault(owner, set()).add(key)

    def _tell(self, change: Change) -> None:
        for observer in self.observers:
            try:
                observer(change)
            except Exception:  # one observer's fault must not blind the others
                _log.exception("an observer of %s failed", self.kind.resource)

    # waiting

    def _advance(self, revision: int) -> None:
        self.seen = max(self.seen, revision)
        for holds, future in self._waiting:
            if not future.done() and holds():
                future.set_result(None)

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `holds()`, looked at after every change; False after `timeout_s` seconds."""
        if holds():
            return True
        waiting = (holds, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(timeout_s):
                await waiting[1]
        except TimeoutError:
            _log.warning("the view of %s is behind (at revision %d)", self.kind.resource, self.seen)
            return False
        finally:
            self._waiting.remove(waiting)
        return True


def _by_name(item: tuple[str, Any]) -> str:
    return item[0]
