"""VirtualMachineExport → a Service, a pod at which the engine answers, a token, and links to the disks.

While a machine uses the disks there is no pod: who downloads is cut off, and the export waits.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta

from vmpod.base.clock import parse, rfc3339
from vmpod.client.cache import Cache
from vmpod.controllers import exported
from vmpod.controllers.children import delete, is_controlled_by
from vmpod.controllers.config import ControllerConfig
from vmpod.controllers.exportsource import Source, source_of
from vmpod.controllers.launcher import claim_name
from vmpod.kinds import (
    PERSISTENTVOLUMECLAIM,
    POD,
    SECRET,
    SERVICE,
    VIRTUALMACHINE,
    VIRTUALMACHINEEXPORT,
    VIRTUALMACHINEINSTANCE,
    VIRTUALMACHINESNAPSHOT,
)
from vmpod.model import conditions, duration
from vmpod.model.meta import Object, get, is_deleting, name, namespace
from vmpod.reconcile.actions import Action, Create, Note, Plan
from vmpod.reconcile.loop import Key, Watch, key_of, own, owned_by

_LIFE = "2h"  # of an export that does not say
_TOKEN_BYTES = 15  # twenty letters, as upstream's tokens


def _of_place(obj: Object, cache: Cache) -> Iterable[Key]:
    """All exports of the namespace: what is a disk, and what is in use, any object of it may tell."""
    return [key_of(one) for one in cache.list(VIRTUALMACHINEEXPORT, namespace(obj))]


KIND = VIRTUALMACHINEEXPORT
WATCHES = (
    own(VIRTUALMACHINEEXPORT), owned_by(POD, VIRTUALMACHINEEXPORT), owned_by(SERVICE, VIRTUALMACHINEEXPORT),
    owned_by(SECRET, VIRTUALMACHINEEXPORT), Watch(PERSISTENTVOLUMECLAIM, found=_of_place),
    Watch(VIRTUALMACHINE, found=_of_place), Watch(VIRTUALMACHINEINSTANCE, found=_of_place),
    Watch(VIRTUALMACHINESNAPSHOT, found=_of_place), Watch(POD, found=_of_place),
)


@dataclass(frozen=True)
class Seen:
    """An export, what it is of, its children, the claims that machines name as disks, and a token for a new Secret."""

    export: Object
    source: Source
    pod: Object | None
    service: Object | None
    secret: Object | None
    disks: frozenset[str]
    drawn: str
    config: ControllerConfig
    now: datetime


def gather(key: Key, cache: Cache, now: datetime, config: ControllerConfig) -> Seen | None:
    export = cache.get(VIRTUALMACHINEEXPORT, *key)
    if export is None:
        return None
    made = exported.service_name(export)
    machines = (*cache.list(VIRTUALMACHINE, key[0]), *cache.list(VIRTUALMACHINEINSTANCE, key[0]))
    return Seen(
        export, source_of(export, cache), cache.get(POD, key[0], made), cache.get(SERVICE, key[0], made),
        cache.get(SECRET, key[0], exported.token_name(export)), frozenset(_disks(machines)),
        secrets.token_urlsafe(_TOKEN_BYTES), config, now,
    )  # fmt: skip


def _disks(machines: Iterable[Object]) -> Iterable[str]:
    for one in machines:
        spec = get(one, "spec", "template", "spec") or one.get("spec") or {}
        devices = get(spec, "domain", "devices", default={})
        named = {disk.get("name") for disk in devices.get("disks") or ()}
        yield from (claim_name(volume) for volume in spec.get("volumes") or () if volume["name"] in named)


def expires(export: Object) -> datetime:
    born = parse(str(get(export, "metadata", "creationTimestamp")))
    return born + timedelta(seconds=duration.seconds(str(get(export, "spec", "ttlDuration") or _LIFE)))


def plan(seen: Seen) -> Plan:
    export = seen.export
    if is_deleting(export):
        return Plan()
    left_s = (expires(export) - seen.now).total_seconds()
    if left_s <= 0:
        return Plan((delete(VIRTUALMACHINEEXPORT, export),))
    if seen.service is None:
        text = f"Created service {_path(export, exported.service_name(export))}"
        return Plan((Create(SERVICE, exported.service(export)),), left_s, (_note(export, "ServiceCreated", text),))
    missing = [Create(PERSISTENTVOLUMECLAIM, exported.restored_claim(export, one)) for one in seen.source.missing]
    if missing:
        return Plan(tuple(missing), left_s)
    return _plan_pod(seen, left_s)


def _plan_pod(seen: Seen, left_s: float) -> Plan:
    export, pod = seen.export, seen.pod
    if pod is not None and not is_controlled_by(pod, export):
        return Plan(again_in=min(5.0, left_s))
    if not seen.source.is_available:
        if pod is None or is_deleting(pod):
            return Plan(again_in=left_s)
        note = Note("Warning", "ExportPaused", seen.source.message or "the source is not available", export)
        return Plan((delete(POD, pod, grace_s=0),), left_s, (note,))
    if seen.secret is None and not get(export, "spec", "tokenSecretRef"):
        text = f"Created default secret {_path(export, exported.token_name(export))}"
        made: tuple[Action, ...] = (Create(SECRET, exported.token(export, seen.drawn)),)
        return Plan(made, left_s, (_note(export, "SecretCreated", text),))
    if pod is None:
        text = f"Created exporter pod {_path(export, exported.service_name(export))}"
        made = (Create(POD, exported.pod(export, seen.source.claims, seen.config)),)
        return Plan(made, left_s, (_note(export, "ExporterPodCreated", text),))
    if exported.held_claims(pod) != [name(one) for one in seen.source.claims] and not is_deleting(pod):
        return Plan((delete(POD, pod, grace_s=0),), left_s)
    return Plan(again_in=left_s)


def _note(export: Object, reason: str, text: str) -> Note:
    return Note("Normal", reason, text, export)


def _path(export: Object, child: str) -> str:
    return f"{namespace(export)}/{child}"


def status(seen: Seen, plan: Plan) -> Object | None:
    """As upstream tells it; links only while they lead somewhere."""
    if is_deleting(seen.export):
        return None
    fresh: Object = deepcopy(seen.export.get("status") or {})
    fresh |= {"serviceName": exported.service_name(seen.export), "links": {},
              "ttlExpirationTime": rfc3339(expires(seen.export))}  # fmt: skip
    if get(seen.export, "spec", "tokenSecretRef") or seen.secret is not None:
        fresh["tokenSecretRef"] = exported.token_name(seen.export)
    if seen.source.machine:
        fresh["virtualMachineName"] = seen.source.machine
    for type, is_true, reason, message in (seen.source.condition, *((_ready(seen)),)):
        if type:
            known = fresh.get("conditions")
            fresh["conditions"] = conditions.set_condition(known, type, is_true, reason, message, seen.now)
    is_ready = _is_ready(seen)
    fresh["phase"] = "Ready" if is_ready else "Skipped" if seen.source.is_empty else "Pending"
    if is_ready:
        fresh["links"] = exported.links(seen.export, _volumes(seen), bool(seen.source.machine), seen.config)
    return fresh


def _volumes(seen: Seen) -> Mapping[str, bool]:
    return {name(one): exported.is_disk(one, seen.disks) for one in seen.source.claims}


def _is_ready(seen: Seen) -> bool:
    pod = seen.pod
    return (
        pod is not None and not is_deleting(pod) and seen.source.is_available
        and is_controlled_by(pod, seen.export)
        and conditions.is_true(get(pod, "status", "conditions"), "Ready")
    )


def _ready(seen: Seen) -> tuple[str, bool, str, str]:
    if _is_ready(seen):
        return "Ready", True, "PodReady", ""
    if not seen.source.is_available:
        return "Ready", False, seen.source.reason or "Initializing", seen.source.message
    if seen.pod is not None and not is_controlled_by(seen.pod, seen.export):
        return "Ready", False, "PodPending", f"another pod is named {name(seen.pod)}"
    if seen.pod is None:
        return "Ready", False, "Initializing", ""
    known = conditions.find(get(seen.pod, "status", "conditions"), "Ready") or {}
    return "Ready", False, "PodPending", str(known.get("message") or "")
