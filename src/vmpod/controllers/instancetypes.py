"""Instance types and preferences of VirtualMachines: looked up, kept as revisions, written into the template."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

from vmpod.client.cache import Cache
from vmpod.controllers.children import child_metadata
from vmpod.kinds import CONTROLLERREVISION, find
from vmpod.kinds.parts.instancetypes import expand
from vmpod.kinds.parts.matched import Get, Match, instancetype_of, matches, preference_of
from vmpod.kinds.parts.matchers import GROUP
from vmpod.model.meta import Object, get, name, namespace, uid
from vmpod.reconcile.actions import Create

RETRY_S = 5.0  # until what a machine names is looked for again
_REASONS = {"instancetype": "FailedFindInstancetype", "preference": "FailedFindPreference"}
_STORING = f"error encountered while storing {GROUP} controllerRevisions"


@dataclass(frozen=True)
class Types:
    """What a machine's matchers lead to. `refusal`: reason and message of what keeps it from starting."""

    found: tuple[Match, ...] = ()
    refusal: tuple[str, str] | None = None


NO_TYPES = Types()


def expanded(vm: Object, cache: Cache) -> tuple[Object, Types]:
    """The machine with its template as its instance type and preference make it; as it is when they cannot."""
    found = matches(vm, _reader(cache))
    for one in found:
        if one.problem:
            return vm, Types(found, (_REASONS[one.matcher.field], one.problem))
    if not found:
        return vm, NO_TYPES
    copied = deepcopy(vm)
    template = copied["spec"].setdefault("template", {})
    faults = expand(template, instancetype_of(found), preference_of(found), "spec.template.spec")
    if faults:
        named = ", ".join(fault.path for fault in faults)
        why = f"{_STORING}: VM field(s) {named} conflicts with selected instance type"
        return vm, Types(found, ("FailedCreate", why))
    told = {one.matcher.annotated(get(one.wanted, "kind", default="")): get(one.wanted, "name") for one in found}
    meta = template.setdefault("metadata", {})
    meta["annotations"] = {**(meta.get("annotations") or {}), **told}
    return copied, Types(found)


def _reader(cache: Cache) -> Get:
    def read(resource: tuple[str, str, str], namespace: str, name: str) -> Object | None:
        kind = find(*resource)
        return cache.get(kind, namespace, name) if kind is not None else None

    return read


def revisions(vm: Object, types: Types) -> tuple[Create, ...]:
    """The revisions that are not kept yet: their names follow from the objects, so that twice makes no second one."""
    if types.refusal is not None:
        return ()
    return tuple(Create(CONTROLLERREVISION, _revision(vm, one.source)) for one in types.found
                 if not one.revision and one.source is not None)


def _revision(vm: Object, source: Object) -> Object:
    version = source["apiVersion"].rpartition("/")[2]
    generation = int(get(source, "metadata", "generation", default=1))
    meta = child_metadata(vm, _revision_name(vm, source))
    meta["labels"] = {
        f"{GROUP}/object-generation": str(generation), f"{GROUP}/object-kind": source["kind"],
        f"{GROUP}/object-name": name(source), f"{GROUP}/object-uid": uid(source), f"{GROUP}/object-version": version,
    }
    kept = {"name": name(source), "uid": uid(source), "generation": generation}
    if namespace(source):
        kept["namespace"] = namespace(source)
    data = {key: source[key] for key in ("apiVersion", "kind")} | {"metadata": kept, "spec": source.get("spec") or {}}
    return {
        "apiVersion": CONTROLLERREVISION.api_version, "kind": "ControllerRevision", "metadata": meta, "data": data,
        "revision": 0,
    }


def _revision_name(vm: Object, source: Object) -> str:
    version = source["apiVersion"].rpartition("/")[2]
    return f"{name(vm)}-{name(source)}-{version}-{uid(source)}-{get(source, 'metadata', 'generation', default=1)}"


def references(vm: Object, types: Types) -> Object:
    """`status.instancetypeRef` and `status.preferenceRef`, None where there is none to be."""
    result: Object = {"instancetypeRef": None, "preferenceRef": None}
    for one in types.found:
        if types.refusal is not None:  # what was kept before still is
            result[one.matcher.status] = get(vm, "status", one.matcher.status)
        elif one.source is not None:
            kept = one.revision or _revision_name(vm, one.source)
            said = {key: one.wanted[key] for key in ("name", "kind") if one.wanted.get(key)}
            result[one.matcher.status] = {**said, "controllerRevisionRef": {"name": kept}}
    return result
