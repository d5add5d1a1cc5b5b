"""DataSource: whether what it names is there, told in its status."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from vmpod.client.cache import Cache
from vmpod.kinds import DATASOURCE, DATAVOLUME, PERSISTENTVOLUMECLAIM, VOLUMESNAPSHOT
from vmpod.model import conditions
from vmpod.model.meta import Object, get, is_deleting, namespace
from vmpod.reconcile.actions import Plan
from vmpod.reconcile.loop import Key, Watch, key_of, own

KIND = DATASOURCE


def _sources(obj: Object, cache: Cache) -> Iterable[Key]:
    """The DataSources that name an object, from whatever namespace."""
    return [key_of(one) for one in cache.list(DATASOURCE) if key_of(obj) in _keys(one)]


def _keys(source: Object) -> list[Key]:
    given = get(source, "spec", "source", default={})
    return [(str(one.get("namespace") or namespace(source)), str(one.get("name") or ""))
            for one in given.values() if one]  # fmt: skip


WATCHES = (own(DATASOURCE), Watch(PERSISTENTVOLUMECLAIM, found=_sources), Watch(DATAVOLUME, found=_sources),
           Watch(DATASOURCE, found=_sources), Watch(VOLUMESNAPSHOT, found=_sources))  # fmt: skip
_KINDS = {"pvc": PERSISTENTVOLUMECLAIM, "snapshot": VOLUMESNAPSHOT, "dataSource": DATASOURCE}
_WORDS = {"pvc": "PVC", "snapshot": "Snapshot", "dataSource": "DataSource"}


@dataclass(frozen=True)
class Seen:
    """A DataSource, the claim or DataSource that it names, and the DataVolume that fills the claim."""

    source: Object
    kind: str
    named: Object | None
    volume: Object | None
    now: datetime


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    source = cache.get(DATASOURCE, *key)
    if source is None:
        return None
    given = get(source, "spec", "source", default={})
    kind = next((name for name, content in given.items() if content), "")
    at = _keys(source)[0] if kind else ("", "")
    named = cache.get(_KINDS[kind], *at) if kind else None
    return Seen(source, kind, named, cache.get(DATAVOLUME, *at) if kind == "pvc" else None, now)


def plan(seen: Seen) -> Plan:
    return Plan()


def status(seen: Seen, plan: Plan) -> Object | None:
    if is_deleting(seen.source):
        return None
    state = _state(seen)
    old = get(seen.source, "status", "conditions", default=[])
    found = conditions.set_condition(old, "Ready", *state, seen.now)
    found = conditions.set_condition(found, "Running", False, state[1], "", seen.now)
    source = get(seen.named, "status", "source") if seen.kind == "dataSource" else get(seen.source, "spec", "source")
    return {"source": source or {}, "conditions": found}


def _state(seen: Seen) -> tuple[bool, str, str]:
    """Whether it can be copied from, the reason and the message, in CDI's words."""
    if not seen.kind:
        return False, "NoSource", "No source PVC set"
    if seen.named is None:
        return False, "NotFound", f"{_WORDS[seen.kind]} not found"
    if seen.kind == "snapshot":
        is_ready = get(seen.named, "status", "readyToUse") is True
        return (True, "Ready", _READY) if is_ready else (False, "SnapshotNotReady", "Snapshot phase is not ready")
    if seen.kind == "dataSource":
        is_ready = conditions.is_true(get(seen.named, "status", "conditions", default=[]), "Ready")
        return (True, "Ready", _READY) if is_ready else (False, "NotReady", "the DataSource that it names is not ready")
    phase = get(seen.volume, "status", "phase", default="Succeeded")
    return (True, "Ready", _READY) if phase == "Succeeded" else (False, phase, f"Import DataVolume phase {phase}")


_READY = "DataSource is ready to be consumed"
