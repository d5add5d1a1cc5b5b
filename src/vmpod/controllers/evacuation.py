"""A machine that shall leave its node (status.evacuationNodeName) → the migration that moves it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from vmpod.base.clock import parse
from vmpod.client.cache import Cache
from vmpod.controllers.children import suffix
from vmpod.kinds import VIRTUALMACHINEINSTANCE, VIRTUALMACHINEINSTANCEMIGRATION
from vmpod.kinds.parts.migration import FINAL, MACHINE, MIGRATABLE
from vmpod.model import conditions
from vmpod.model.meta import Object, get, is_deleting, labels, name, namespace, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Create, Note, Plan
from vmpod.reconcile.loop import Key, Watch, own

KIND = VIRTUALMACHINEINSTANCE
EVACUATION = "kubevirt.io/evacuationMigration"
_BACKOFF_S, _MOST_S = 20.0, 600.0


def _machine(migration: Object) -> Iterable[Key]:
    return ((namespace(migration), labels(migration).get(MACHINE, "")),)


WATCHES = (own(VIRTUALMACHINEINSTANCE), Watch(VIRTUALMACHINEINSTANCEMIGRATION, _machine))


@dataclass(frozen=True)
class Seen:
    """An instance and its migrations, the newest first."""

    vmi: Object
    migrations: tuple[Object, ...]
    now: datetime


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    vmi = cache.get(VIRTUALMACHINEINSTANCE, *key)
    if vmi is None or not get(vmi, "status", "evacuationNodeName"):
        return None
    found = [one for one in cache.list(VIRTUALMACHINEINSTANCEMIGRATION, key[0])
             if labels(one).get(MACHINE) == key[1]]  # fmt: skip
    return Seen(vmi, tuple(sorted(found, key=_age, reverse=True)), now)


def _age(migration: Object) -> tuple[str, str]:
    return str(get(migration, "metadata", "creationTimestamp", default="")), name(migration)


def plan(seen: Seen) -> Plan:
    if not _shall_leave(seen.vmi) or any(get(one, "status", "phase") not in FINAL for one in seen.migrations):
        return Plan()
    left = _backoff_left_s(seen)
    if left > 0:
        return Plan(again_in=left)
    fresh = _migration(seen)
    note = Note("Normal", "SuccessfulCreate", f"Created Migration {name(fresh)}", seen.vmi)
    return Plan((Create(VIRTUALMACHINEINSTANCEMIGRATION, fresh),), None, (note,))


def _shall_leave(vmi: Object) -> bool:
    """External eviction strategies leave it to somebody else to move the machine."""
    status = vmi["status"]
    return bool(
        status.get("evacuationNodeName") == status.get("nodeName") and status.get("phase") == "Running"
        and not is_deleting(vmi) and conditions.is_true(status.get("conditions"), MIGRATABLE)
        and get(vmi, "spec", "evictionStrategy") in ("LiveMigrate", "LiveMigrateIfPossible")
    )  # fmt: skip


def _backoff_left_s(seen: Seen) -> float:
    """20 s after the first evacuation that failed, twice as long after each further one."""
    failed = 0
    for one in seen.migrations:
        if get(one, "status", "phase") != "Failed" or EVACUATION not in annotations_of(one):
            break
        failed += 1
    if not failed:
        return 0.0
    times = get(seen.migrations[0], "status", "phaseTransitionTimestamps", default=())
    ended = next((one["phaseTransitionTimestamp"] for one in times if one["phase"] == "Failed"), None)
    since = (seen.now - parse(ended)).total_seconds() if ended else 0.0
    return float(min(_BACKOFF_S * 2 ** (failed - 1), _MOST_S)) - since


def _migration(seen: Seen) -> Object:
    """Its name follows from what was seen: the same plan carried out twice makes one."""
    seeds = (uid(seen.vmi), [uid(one) for one in seen.migrations], get(seen.vmi, "status", "evacuationNodeName"))
    kind = VIRTUALMACHINEINSTANCEMIGRATION
    meta = {
        "name": f"kubevirt-evacuation-{suffix(*seeds)}", "generateName": "kubevirt-evacuation-",
        "namespace": namespace(seen.vmi), "annotations": {EVACUATION: seen.vmi["status"]["evacuationNodeName"]},
    }  # fmt: skip
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, "spec": {"vmiName": name(seen.vmi)}}


def status(seen: Seen, plan: Plan) -> Object | None:
    """Nothing: the instance's status is the node's."""
    return None
