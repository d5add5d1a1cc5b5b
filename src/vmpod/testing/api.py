"""A small API in memory: enough of REST and watch for clients, caches and loops.

No defaulting, validation or admission: what is written is stored. Works in virtual time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from vmpod.base import clock
from vmpod.client.inprocess import Request, Response
from vmpod.kinds.kind import Kind
from vmpod.model import meta, selectors, status
from vmpod.model.meta import Object
from vmpod.model.patch import merge_patch
from vmpod.testing.clock import EPOCH

_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[^/]+))?)?"
)
Objects = list[Object]
Requests = list[Request]


@dataclass(frozen=True)
class _Target:
    kind: Kind
    namespace: str
    name: str
    sub: str

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name


@dataclass
class Fault:
    """An error that the next `times` matching requests meet instead of being served."""

    matches: Callable[[Request], bool]
    error: status.ApiError
    times: int = 1


class FakeApi:
    """A `Dispatch`. `requests` are all that were made; `faults` are consulted first.

    With `shares` false, requests for shared bytes get bodies and streams, as a remote caller would.
    `lag_s` delays what watchers are told.
    """

    def __init__(self, kinds: Iterable[Kind], *, shares: bool = True, lag_s: float = 0.0) -> None:
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.revision = 0
        self.oldest = 0
        self.watching = 0
        self.lag_s = lag_s
        self._shares = shares
        self._kinds = {(kind.group, kind.version, kind.plural): kind for kind in kinds}
        self._objects: dict[Kind, dict[tuple[str, str], Object]] = {kind: {} for kind in self._kinds.values()}
        self._log: list[tuple[int, Kind, str, bytes]] = []
        self._moved = asyncio.Event()
        self._cut = 0

    # for tests

    def put(self, kind: Kind, obj: Object) -> Object:
        """Store an object past all rules, as another client would have it done."""
        key = (meta.namespace(obj), meta.name(obj))
        known = self._objects[kind].get(key)
        if known is None:
            return self._store(kind, obj, "ADDED")
        return self._store(kind, {**obj, "metadata": {**obj["metadata"], "uid": meta.uid(known)}}, "MODIFIED")

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """A copy of what is stored."""
        obj = self._objects[kind].get((namespace, name))
        return None if obj is None else _copy(obj)

    def list(self, kind: Kind) -> Objects:
        """Copies of all that is stored, sorted."""
        return [_copy(obj) for _, obj in sorted(self._objects[kind].items())]

    def remove(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete at once, past finalizers."""
        self._drop(kind, (namespace, name))

    def compact(self) -> None:
        """Forget the past: watches that resume from before get 410."""
        self.oldest = self.revision
        self._log.clear()

    def cut_watches(self) -> None:
        """End all watches that are open."""
        self._cut += 1
        self._wake()

    def writes(self, kind: Kind, method: str = "") -> Requests:
        """The requests that meant to change objects of a kind."""
        found = [request for request in self.requests if request.method != "GET"]
        return [
            request for request in found
            if self._target(request.path).kind is kind and method in ("", request.method)
        ]  # fmt: skip

    # serving

    async def __call__(self, request: Request, /) -> Response:
        self.requests.append(request)
        await asyncio.sleep(0)
        try:
            self._meet_faults(request)
            return self._serve(request)
        except status.ApiError as error:
            return _answer(error.to_status(), error.code)

    def _meet_faults(self, request: Request) -> None:
        for fault in self.faults:
            if fault.times > 0 and fault.matches(request):
                fault.times -= 1
                raise fault.error

    def _target(self, path: str) -> _Target:
        found = _PATH.fullmatch(path)
        kind = None
        if found:
            kind = self._kinds.get((found["group"] or "", found["version"], found["plural"]))
        if found is None or kind is None:
            raise status.no_route()
        return _Target(kind, found["namespace"] or "", found["name"] or "", found["sub"] or "")

    def _serve(self, request: Request) -> Response:
        target = self._target(request.path)
        match request.method:
            case "GET" if target.name:
                return _answer(self._found(target))
            case "GET" if request.query.get("watch") == "true":
                return self._watch(target, request)
            case "GET":
                return self._list(target, request)
            case "POST":
                return self._create(target, orjson.loads(request.body))
            case "PUT":
                return _answer(self._update(target, orjson.loads(request.body)))
            case "PATCH":
                patched = merge_patch(self._found(target), orjson.loads(request.body))
                return _answer(self._update(target, patched))
            case "DELETE":
                return self._delete(target, orjson.loads(request.body or b"{}"))
            case _:
                raise status.method_not_allowed(target.kind.resource, request.method)

    def _found(self, target: _Target) -> Object:
        obj = self._objects[target.kind].get(target.key)
        if obj is None:
            raise status.not_found(target.kind.resource, target.name)
        return obj

    def _selected(self, target: _Target, query: Mapping[str, str]) -> Objects:
        selector = selectors.parse_labels(query.get("labelSelector", ""))
        return [
            obj for (namespace, _), obj in sorted(self._objects[target.kind].items())
            if target.namespace in ("", namespace) and selector.matches(meta.labels(obj))
        ]  # fmt: skip

    def _list(self, target: _Target, request: Request) -> Response:
        items = self._selected(target, request.query)
        if request.shared and self._shares:
            return Response(200, items=[orjson.dumps(item) for item in items], revision=self.revision)
        head = {"kind": target.kind.kind + "List", "apiVersion": target.kind.api_version}
        return _answer({**head, "metadata": {"resourceVersion": str(self.revision)}, "items": items})

    def _watch(self, target: _Target, request: Request) -> Response:
        since = int(request.query.get("resourceVersion") or 0)
        if since < self.oldest:
            raise status.gone(f"too old resource version: {since} ({self.oldest})")
        events = self._events(target, since)
        if request.shared and self._shares:
            return Response(200, events=events)
        return Response(200, {"content-type": "application/json"}, stream=_lines(events))

    async def _events(self, target: _Target, since: int) -> AsyncIterator[tuple[str, bytes]]:
        cut = self._cut
        self.watching += 1
        try:
            while cut == self._cut:
                moved = self._moved
                fresh = [entry for entry in self._log if entry[0] > since]
                for revision, kind, type_, text in fresh:
                    since = revision
                    if kind is target.kind and target.namespace in ("", meta.namespace(orjson.loads(text))):
                        if self.lag_s:
                            await asyncio.sleep(self.lag_s)
                        yield type_, text
                if not fresh:
                    await moved.wait()
        finally:
            self.watching -= 1

    def _create(self, target: _Target, obj: Object) -> Response:
        metadata = obj.setdefault("metadata", {})
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = f"{metadata['generateName']}{self.revision + 1:05d}"
        key = (target.namespace, metadata["name"])
        if key in self._objects[target.kind]:
            raise status.already_exists(target.kind.resource, key[1])
        if target.namespace:
            metadata["namespace"] = target.namespace
        return _answer(self._store(target.kind, obj, "ADDED"), 201)

    def _update(self, target: _Target, new: Object) -> Object:
        old = self._found(target)
        if meta.revision(new) not in (0, meta.revision(old)):
            raise status.conflict(target.kind.resource, target.name)
        if target.sub:
            new = {**old, target.sub: new.get(target.sub)}
        elif target.kind.has_status:
            new = {key: value for key, value in new.items() if key != "status"}
            new |= {"status": old["status"]} if "status" in old else {}
        new["metadata"] = {**new["metadata"], "resourceVersion": str(meta.revision(old)), "uid": meta.uid(old)}
        if new == old:
            return old
        if meta.is_deleting(new) and not new["metadata"].get("finalizers"):
            self._drop(target.kind, target.key)
            return new
        return self._store(target.kind, new, "MODIFIED")

    def _delete(self, target: _Target, options: Object) -> Response:
        obj = self._found(target)
        wanted = meta.get(options, "preconditions", "uid", default=meta.uid(obj))
        if wanted != meta.uid(obj):
            raise status.conflict(target.kind.resource, target.name, "Precondition failed: UID in precondition")
        if obj["metadata"].get("finalizers"):
            if not meta.is_deleting(obj):
                stamp = {"deletionTimestamp": clock.rfc3339(EPOCH), "deletionGracePeriodSeconds": 0}
                obj = self._store(target.kind, {**obj, "metadata": {**obj["metadata"], **stamp}}, "MODIFIED")
            return _answer(obj)
        self._drop(target.kind, target.key)
        return _answer(status.success({"name": target.name, "uid": meta.uid(obj)}))

    def _store(self, kind: Kind, obj: Object, type_: str) -> Object:
        self.revision += 1
        metadata = {"uid": f"uid-{self.revision}", **meta.metadata(obj), "resourceVersion": str(self.revision)}
        stored: Object = {"apiVersion": kind.api_version, "kind": kind.kind, **obj, "metadata": metadata}
        key = (meta.namespace(stored), meta.name(stored))
        self._objects[kind][key] = stored
        self._tell(kind, type_, stored)
        return stored

    def _drop(self, kind: Kind, key: tuple[str, str]) -> None:
        obj = self._objects[kind].pop(key)
        self.revision += 1
        last = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}
        self._tell(kind, "DELETED", last)

    def _tell(self, kind: Kind, type_: str, obj: Object) -> None:
        self._log.append((self.revision, kind, type_, orjson.dumps(obj)))
        self._wake()

    def _wake(self) -> None:
        """Every waiter has the event that it saw; later ones get a fresh one, so that none is missed."""
        self._moved.set()
        self._moved = asyncio.Event()


def _copy(obj: Object) -> Object:
    copy: Object = orjson.loads(orjson.dumps(obj))
    return copy


def _answer(body: Any, code: int = 200) -> Response:
    return Response(code, {"content-type": "application/json"}, orjson.dumps(body))


async def _lines(events: AsyncIterator[tuple[str, bytes]]) -> AsyncIterator[bytes]:
    async for type_, text in events:
        yield b'{"type":"%s","object":%s}\n' % (type_.encode(), text)
