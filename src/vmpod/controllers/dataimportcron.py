"""DataImportCron → a DataVolume for each image that the node has found, and a DataSource that names the newest one."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime

from vmpod.base.clock import rfc3339
from vmpod.client.cache import Cache
from vmpod.controllers.children import delete
from vmpod.kinds import DATAIMPORTCRON, DATASOURCE, DATAVOLUME
from vmpod.kinds.dataimportcron import DESIRED, LABEL, LAST
from vmpod.model import conditions
from vmpod.model.meta import Object, get, is_deleting, labels, name, namespace, owner_reference
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Action, Create, Patch, Plan
from vmpod.reconcile.loop import Key, Watch, key_of, own

KIND = DATAIMPORTCRON
_DIGEST = "cdi.kubevirt.io/storage.import.sourceDigest"
_SHOWN = 12  # digits of a digest in a name


def _of_cron(obj: Object) -> Iterable[Key]:
    wanted = labels(obj).get(LABEL)
    return ((namespace(obj), wanted),) if wanted else ()


def _managed(source: Object, cache: Cache) -> Iterable[Key]:
    return [key_of(one) for one in cache.list(DATAIMPORTCRON, namespace(source))
            if get(one, "spec", "managedDataSource") == name(source)]  # fmt: skip


WATCHES = (own(DATAIMPORTCRON), Watch(DATAVOLUME, _of_cron), Watch(DATASOURCE, found=_managed))


@dataclass(frozen=True)
class Seen:
    """A cron, the DataVolumes that it made, the oldest first, and its DataSource."""

    cron: Object
    volumes: tuple[Object, ...]
    source: Object | None
    now: datetime

    @property
    def digest(self) -> str:
        """The image that there should be an import of, as the node found it."""
        return annotations_of(self.cron).get(DESIRED, "")

    @property
    def wanted(self) -> str:
        """The name of its DataVolume."""
        digits = self.digest.rpartition(":")[2][:_SHOWN]
        return f"{get(self.cron, 'spec', 'managedDataSource')}-{digits}" if digits else ""

    @property
    def current(self) -> Object | None:
        return next((one for one in self.volumes if name(one) == self.wanted), None)


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    cron = cache.get(DATAIMPORTCRON, *key)
    if cron is None:
        return None
    made = [one for one in cache.list(DATAVOLUME, key[0]) if labels(one).get(LABEL) == key[1]]
    made.sort(key=lambda one: (str(get(one, "metadata", "creationTimestamp")), name(one)))
    return Seen(cron, tuple(made), cache.get(DATASOURCE, key[0], str(get(cron, "spec", "managedDataSource"))), now)


def plan(seen: Seen) -> Plan:
    """Import what was found, point the DataSource to it once it is there, let older imports go."""
    if is_deleting(seen.cron) or not seen.wanted:
        return Plan()
    if seen.current is None:
        return Plan((Create(DATAVOLUME, _volume(seen)), *_source(seen)))
    return Plan((*_source(seen), *_outdated(seen)))


def _is_done(volume: Object | None) -> bool:
    return bool(get(volume, "status", "phase") == "Succeeded")


def _meta(seen: Seen, child: str) -> Object:
    meta: Object = {"name": child, "namespace": namespace(seen.cron), "labels": {LABEL: name(seen.cron)}}
    if get(seen.cron, "spec", "retentionPolicy") == "None":  # else what was imported outlives its cron
        meta["ownerReferences"] = [owner_reference(seen.cron)]
    return meta


def _volume(seen: Seen) -> Object:
    """The DataVolume of the template, of this very image and not of what its tag means later."""
    template = get(seen.cron, "spec", "template", default={})
    spec, meta = deepcopy(template["spec"]), _meta(seen, seen.wanted)
    meta["labels"] = {**labels(template), **meta["labels"]}
    meta["annotations"] = {**annotations_of(template), _DIGEST: seen.digest}
    spec["source"]["registry"]["url"] = pinned(spec["source"]["registry"]["url"], seen.digest)
    return {"apiVersion": DATAVOLUME.api_version, "kind": DATAVOLUME.kind, "metadata": meta, "spec": spec}


def pinned(url: str, digest: str) -> str:
    """The image's URL by digest."""
    head, slash, last = url.partition("@")[0].rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}@{digest}"


def _source(seen: Seen) -> tuple[Action, ...]:
    """The DataSource names the newest import that is there; the first one also while it is under way."""
    named = {"pvc": {"name": seen.wanted, "namespace": namespace(seen.cron)}}
    if seen.source is None:
        meta = _meta(seen, str(get(seen.cron, "spec", "managedDataSource")))
        made = {"apiVersion": DATASOURCE.api_version, "kind": DATASOURCE.kind, "metadata": meta,
                "spec": {"source": named}}  # fmt: skip
        return (Create(DATASOURCE, made),)
    if labels(seen.source).get(LABEL) != name(seen.cron) or not _is_done(seen.current):
        return ()
    if get(seen.source, "spec", "source") == named:
        return ()
    return (Patch(DATASOURCE, namespace(seen.cron), name(seen.source), {"spec": {"source": named}}),)


def _outdated(seen: Seen) -> tuple[Action, ...]:
    """Imports beyond those to keep, the oldest first; never the one that is wanted or named."""
    if get(seen.cron, "spec", "garbageCollect") == "Never" or not _is_done(seen.current):
        return ()
    kept = {seen.wanted, get(seen.source, "spec", "source", "pvc", "name")}
    others = [one for one in seen.volumes if name(one) not in kept and not is_deleting(one)]
    surplus = len(others) + len(kept) - max(1, int(get(seen.cron, "spec", "importsToKeep", default=3)))
    return tuple(delete(DATAVOLUME, one) for one in others[: max(0, surplus)])


def status(seen: Seen, plan: Plan) -> Object | None:
    if is_deleting(seen.cron):
        return None
    fresh: Object = {**(seen.cron.get("status") or {}), "sourceFormat": "pvc"}
    if told := annotations_of(seen.cron).get(LAST):
        fresh["lastExecutionTimestamp"] = told
    if seen.wanted:
        fresh["currentImports"] = [{"DataVolumeName": seen.wanted, "Digest": seen.digest}]
    if _is_done(seen.current) and get(fresh, "lastImportedPVC", "name") != seen.wanted:
        fresh |= {"lastImportedPVC": {"name": seen.wanted, "namespace": namespace(seen.cron)},
                  "lastImportTimestamp": rfc3339(seen.now)}  # fmt: skip
    fresh["conditions"] = _conditions(seen, fresh.get("conditions") or [])
    return fresh


def _conditions(seen: Seen, old: list[Object]) -> list[Object]:
    phase = str(get(seen.current, "status", "phase", default="Pending"))
    if not seen.wanted:
        moves, fits = (False, "NoImport", "No current import"), (False, "NoDigest", "No source digest")
    elif phase == "Succeeded":
        moves, fits = (False, "NoImport", "No current import"), (True, "UpToDate", "Latest import is up to date")
    else:
        text = f"Import DataVolume {seen.wanted} phase {phase}"
        moves, fits = (phase != "Failed", phase, text), (False, "ImportProgressing", text)
    found = conditions.set_condition(old, "Progressing", *moves, seen.now)
    return conditions.set_condition(found, "UpToDate", *fits, seen.now)
