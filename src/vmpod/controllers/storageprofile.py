"""StorageProfile: one for each storage class, made and told of as CDI does; what a user writes into it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from vmpod.client.cache import Cache
from vmpod.controllers.children import delete
from vmpod.kinds import STORAGECLASS, STORAGEPROFILE
from vmpod.kinds.storageclass import is_default
from vmpod.kinds.storageprofile import SHARING
from vmpod.model.meta import Object, get, name
from vmpod.reconcile.actions import Create, Plan
from vmpod.reconcile.loop import Key, Watch, own

KIND = STORAGEPROFILE
WATCHES = (own(STORAGEPROFILE), Watch(STORAGECLASS, lambda one: (("", name(one)),)))
PLAIN: Object = {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem"}


@dataclass(frozen=True)
class Seen:
    """A profile and the class of its name."""

    wanted: str
    profile: Object | None
    of_class: Object | None


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    return Seen(key[1], cache.get(STORAGEPROFILE, *key), cache.get(STORAGECLASS, *key))


def plan(seen: Seen) -> Plan:
    """It comes and goes with its class."""
    if seen.of_class is None:
        return Plan() if seen.profile is None else Plan((delete(STORAGEPROFILE, seen.profile),))
    if seen.profile is not None:
        return Plan()
    meta = {"name": seen.wanted, "labels": {"app": "containerized-data-importer", "cdi.kubevirt.io": ""}}
    made = {"apiVersion": STORAGEPROFILE.api_version, "kind": STORAGEPROFILE.kind, "metadata": meta, "spec": {}}
    return Plan((Create(STORAGEPROFILE, made),))


def status(seen: Seen, plan: Plan) -> Object | None:
    """The class's own properties where the user said none. Copies share their disk, as a CSI driver's do."""
    if seen.profile is None or seen.of_class is None:
        return None
    sets = get(seen.profile, "spec", "claimPropertySets") or [PLAIN]
    wished = get(seen.profile, "spec", "cloneStrategy")
    strategy = wished if wished in SHARING else SHARING[0]
    return {"storageClass": seen.wanted, "provisioner": str(seen.of_class.get("provisioner") or ""),
            "claimPropertySets": sets, "cloneStrategy": strategy, "dataImportCronSourceFormat": "pvc"}  # fmt: skip


def class_of(spec: Object, classes: Iterable[Object]) -> Object | None:
    """The class that a claim gets: the one that it names where that exists, else the default one."""
    known = list(classes)
    named = next((one for one in known if name(one) == spec.get("storageClassName")), None)
    return named or next((one for one in known if is_default(one)), None)


def properties(spec: Object, profile: Object | None) -> Object:
    """Access modes and volume mode of a claim, as far as it says neither: the first set that fits what it says."""
    sets = get(profile, "spec", "claimPropertySets") or [PLAIN]
    said = {key: spec[key] for key in ("accessModes", "volumeMode") if spec.get(key)}
    fits = (one for one in sets if said.get("volumeMode") in (None, one.get("volumeMode"))
            and set(said.get("accessModes") or ()) <= set(one.get("accessModes") or ()))  # fmt: skip
    return {**next(fits, PLAIN), **said}
