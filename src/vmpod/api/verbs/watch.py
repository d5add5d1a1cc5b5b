"""GET of a collection with `watch`: its changes, from a revision on, as they are committed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from vmpod.api import representation
from vmpod.api.call import Call
from vmpod.api.representation import Form
from vmpod.api.revisions import check_watch_parameters, read_revision
from vmpod.api.selection import Selection, selection_of
from vmpod.client.inprocess import Response
from vmpod.model import status
from vmpod.model.meta import Object
from vmpod.store import Compacted, Event, Record, Subscription

_BOOKMARK_EVERY_S: Final = 60.0
_LONGEST_S: Final = (1800, 3600)  # kube-apiserver's --min-request-timeout, spread so that not all come back at once
_INITIAL_END: Final = {"k8s.io/initial-events-end": "true"}


@dataclass(frozen=True)
class Change:
    """One line of a watch; a BOOKMARK has no record, only the revision that was reached."""

    type: str
    revision: int
    record: Record | None = None
    ends_initial: bool = False


async def watch_objects(call: Call) -> Response:
    """The changes of the call's collection or object, without end.

    Raises ApiError for wrong parameters; a revision that is too old is told in the stream (410), as upstream does.
    """
    check_watch_parameters(call)
    feed = Feed.open(call)
    if call.request.shared:
        return Response(200, events=feed.shared_events())
    form = representation.form_of(call)
    media = "application/json" if form.media == representation.YAML else form.media
    headers = representation.headers_of(call, media)
    return Response(200, headers, stream=feed.lines(form))


@dataclass(frozen=True)
class Feed:
    """What a watch tells, in order: the initial state if asked for, then changes, bookmarks between."""

    call: Call
    selection: Selection
    since: int
    initial: Sequence[Record] | None
    subscription: Subscription | None
    refused: str = ""

    @classmethod
    def open(cls, call: Call) -> Feed:
        """Subscribe now, so that nothing is missed between the answer's head and its first line."""
        selection, namespace = selection_of(call), call.namespace or None
        since, initial = read_revision(call), None
        if _wants_initial(call, since):
            records, since = call.store.list(call.kind.resource, namespace)
            initial = selection.select(records)
        elif since == 0:
            since = call.store.revision
        try:
            return cls(call, selection, since, initial, call.store.watch(call.kind.resource, namespace, since))
        except Compacted:
            refused = f"too old resource version: {since} ({call.store.revision})"
            return cls(call, selection, since, initial, None, refused)

    async def changes(self) -> AsyncIterator[list[Change]]:
        """Batches of changes; ends after `timeoutSeconds`. The last one is of type ERROR when it fell behind."""
        if self.initial is not None:
            yield self._initial_changes()
        if self.subscription is None:
            yield [Change("ERROR", self.since)]
            return
        try:
            async for batch in self._live(self.subscription):
                yield batch
        except Compacted:
            yield [Change("ERROR", self.subscription.position)]
        finally:
            self.subscription.close()

    def _initial_changes(self) -> list[Change]:
        changes = [Change("ADDED", record.revision, record) for record in self.initial or ()]
        if self.call.flag("sendInitialEvents"):
            changes.append(Change("BOOKMARK", self.since, ends_initial=True))
        return changes

    async def _live(self, subscription: Subscription) -> AsyncIterator[list[Change]]:
        loop = asyncio.get_running_loop()
        bookmarks = self.call.flag("allowWatchBookmarks")
        until = loop.time() + _duration_s(self.call)
        while (left := until - loop.time()) > 0 and not subscription.closed:
            event = await subscription.next(min(left, _BOOKMARK_EVERY_S))
            if event is not None:
                found = [self._seen(one) for one in (event, *subscription.drain())]
                if batch := [change for change in found if change is not None]:
                    yield batch
            elif bookmarks and not subscription.closed:
                yield [Change("BOOKMARK", subscription.position)]

    def _seen(self, event: Event) -> Change | None:
        """What a client that looks through the selectors sees of a write."""
        if self.selection.is_everything:
            return Change(event.type, event.revision, event.record)
        now = event.type != "DELETED" and self.selection.matches(event.record)
        before = event.previous is not None and self.selection.matches(event.previous)
        if now:
            return Change("MODIFIED" if before else "ADDED", event.revision, event.record)
        if event.type == "DELETED" and (before or self.selection.matches(event.record)):
            return Change("DELETED", event.revision, event.record)
        if before and event.previous is not None:
            return Change("DELETED", event.revision, _at(event.previous, event.revision))
        return None

    async def lines(self, form: Form) -> AsyncIterator[bytes]:
        """The changes as kubectl reads them: one JSON object a line."""
        writer = LineWriter(self.call, form)
        async for batch in self.changes():
            yield b"".join(writer.line(change, self.refused) for change in batch)

    async def shared_events(self) -> AsyncIterator[tuple[str, bytes]]:
        """The changes for callers in this process: the stored bytes themselves."""
        writer = LineWriter(self.call, Form())
        async for batch in self.changes():
            for change in batch:
                yield change.type, writer.object_bytes(change, self.refused)


def _wants_initial(call: Call, revision: int) -> bool:
    if call.query("sendInitialEvents"):
        return call.flag("sendInitialEvents")
    return revision == 0


def _duration_s(call: Call) -> float:
    text = call.query("timeoutSeconds")
    if text and not text.isdecimal():
        raise status.bad_request(f"strconv.ParseInt: parsing {status.quote(text)}: invalid syntax")
    return float(text) if int(text or 0) > 0 else random.uniform(*_LONGEST_S)


def _at(record: Record, revision: int) -> Record:
    """An old state as the end of what a selector shows, at the revision that ended it."""
    obj = orjson.loads(record.value)
    obj["metadata"]["resourceVersion"] = str(revision)
    return replace(record, value=orjson.dumps(obj), revision=revision)


class LineWriter:
    """Writes the lines of one watch; remembers whether the columns of a table were told."""

    def __init__(self, call: Call, form: Form) -> None:
        self._call = call
        self._form = form
        self._headers_due = True

    def line(self, change: Change, refused: str = "") -> bytes:
        """One WatchEvent with its line end."""
        return b'{"type":"%b","object":%b}\n' % (change.type.encode(), self.object_bytes(change, refused))

    def object_bytes(self, change: Change, refused: str = "") -> bytes:
        """The object of a WatchEvent."""
        if change.type == "ERROR":
            why = refused or f"too old resource version: {change.revision} ({self._call.store.revision})"
            return orjson.dumps(status.gone(why).to_status())
        if change.record is None:
            return orjson.dumps(self._bookmark(change))
        if not self._form.shape:
            return representation.stored_bytes(self._call, change.record)
        return orjson.dumps(self._shaped(change.record))

    def _shaped(self, record: Record) -> Object:
        obj = representation.whole(self._call, record)
        if self._form.shape != "Table":
            return representation.shaped(self._call, self._form, obj)
        headers, self._headers_due = self._headers_due, False
        return representation.table_of(self._call, self._form, [obj], str(record.revision), headers=headers)

    def _bookmark(self, change: Change) -> Object:
        metadata: dict[str, Any] = {"resourceVersion": str(change.revision), "creationTimestamp": None}
        if change.ends_initial:
            metadata["annotations"] = dict(_INITIAL_END)
        if self._form.shape == "Table":
            table = representation.table_of(self._call, self._form, [], str(change.revision), headers=self._headers_due)
            return {**table, "metadata": metadata}
        if self._form.shape:
            return {"kind": self._form.shape, "apiVersion": f"meta.k8s.io/{self._form.version}", "metadata": metadata}
        return {"kind": self._call.kind.kind, "apiVersion": self._call.api_version, "metadata": metadata}
