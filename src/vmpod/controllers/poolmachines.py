"""The VirtualMachines of a pool: what each is made of, which revision it follows, which go first."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from vmpod.controllers.children import child_metadata, fraction
from vmpod.kinds import CONTROLLERREVISION, VIRTUALMACHINE
from vmpod.model import selectors
from vmpod.model.meta import Object, get, labels, name, namespace, owner_reference, uid

REVISION = "kubevirt.io/vm-pool-revision-name"
_CLOUD_INIT = ("cloudInitNoCloud", "cloudInitConfigDrive")
_CLOUD_SECRETS = ("secretRef", "networkDataSecretRef", "metaDataSecretRef")


def machine(pool: Object, index: int, revision: str) -> Object:
    """The machine of a number."""
    template = get(pool, "spec", "virtualMachineTemplate", default={})
    meta = child_metadata(pool, f"{name(pool)}-{index}", template)
    meta["labels"] = {**meta.get("labels", {}), REVISION: revision}
    return {"apiVersion": VIRTUALMACHINE.api_version, "kind": "VirtualMachine", "metadata": meta,
            "spec": _numbered(pool, index, revision)}


def renewed(pool: Object, vm: Object, revision: str) -> Object:
    """A machine as the pool wants it now; what its guest knows it by stays."""
    fresh = machine(pool, index_of(vm), revision)
    meta = {**vm["metadata"], **{key: fresh["metadata"].get(key, {}) for key in ("labels", "annotations")}}
    held = get(vm, "spec", "template", "spec", "domain", "firmware", default={})
    kept = {key: held[key] for key in ("uuid", "serial") if held.get(key)}
    if kept:
        domain = fresh["spec"]["template"].setdefault("spec", {}).setdefault("domain", {})
        domain["firmware"] = {**(domain.get("firmware") or {}), **kept}
    return {**vm, "metadata": meta, "spec": fresh["spec"]}


def index_of(vm: Object) -> int:
    """The number in a machine's name, 0 when there is none."""
    text = name(vm).rpartition("-")[2]
    return int(text) if text.isdecimal() else 0


def _numbered(pool: Object, index: int, revision: str) -> Object:
    """The spec with names of its own for all that is made for it, and references as nameGeneration has them."""
    spec: Object = deepcopy(get(pool, "spec", "virtualMachineTemplate", "spec", default={}))
    renamed = {}
    for template in spec.get("dataVolumeTemplates") or ():
        renamed[name(template)] = f"{name(template)}-{index}"
        template["metadata"]["name"] = renamed[name(template)]
    inside = spec.setdefault("template", {})
    meta = inside.setdefault("metadata", {})
    meta["labels"] = {**(meta.get("labels") or {}), REVISION: revision}
    wanted = get(pool, "spec", "nameGeneration", default={})
    for volume in get(inside, "spec", "volumes", default=()):
        _rename(volume, renamed)
        if wanted.get("appendIndexToConfigMapRefs"):
            _append(index, (volume.get("configMap"), "name"), (get(volume, "sysprep", "configMap"), "name"))
        if wanted.get("appendIndexToSecretRefs"):
            clouds = [(get(volume, kind, key), "name") for kind in _CLOUD_INIT for key in _CLOUD_SECRETS]
            _append(index, (volume.get("secret"), "secretName"), (get(volume, "sysprep", "secret"), "name"), *clouds)
    return spec


def _rename(volume: Object, renamed: dict[str, str]) -> None:
    for source, key in (("persistentVolumeClaim", "claimName"), ("dataVolume", "name")):
        found = volume.get(source)
        if isinstance(found, dict) and found.get(key) in renamed:
            found[key] = renamed[found[key]]


def _append(index: int, *references: tuple[Any, str]) -> None:
    for holder, key in references:
        if isinstance(holder, dict) and holder.get(key):
            holder[key] = f"{holder[key]}-{index}"


def kept_template(revision: Object | None) -> Object | None:
    """The machine template that a revision keeps."""
    found: Object | None = get(revision, "data", "virtualMachineTemplate")
    return found


def new_revision(pool: Object) -> Object:
    """The pool's wish as it is kept."""
    generation = int(get(pool, "metadata", "generation", default=1))
    meta = {"name": f"{name(pool)}-{generation}", "namespace": namespace(pool),
            "ownerReferences": [owner_reference(pool)]}
    return {"apiVersion": CONTROLLERREVISION.api_version, "kind": "ControllerRevision", "metadata": meta,
            "data": deepcopy(pool["spec"]), "revision": generation}


def selected(pool: Object, strategy: str, vms: Iterable[Object]) -> list[Object]:
    """The machines that a proactive strategy may touch, those first that go first."""
    policy = get(pool, "spec", strategy, "proactive", "selectionPolicy", default={})
    by_label = selectors.from_object(get(policy, "selectors", "labelSelector", default={}))
    wanted = get(policy, "selectors", "nodeSelectorRequirementMatcher", default=[])
    by_node = selectors.from_object({"matchExpressions": wanted} if wanted else {})
    found = [vm for vm in vms if by_label.matches(labels(get(vm, "spec", "template", default={})))
             and by_node.matches(get(vm, "spec", "template", "spec", "nodeSelector", default={}))]
    return _ordered(pool, policy.get("sortPolicy", "Random"), found)


def _ordered(pool: Object, policy: str, vms: list[Object]) -> list[Object]:
    """Random is so for people only: the same pool and machines are always in the same order."""
    match policy:
        case "AscendingOrder" | "DescendingOrder":
            return sorted(vms, key=index_of, reverse=policy == "DescendingOrder")
        case "Newest" | "Oldest":
            return sorted(vms, key=_born, reverse=policy == "Newest")
        case _:
            return sorted(vms, key=lambda vm: fraction(uid(pool), uid(vm)))


def _born(vm: Object) -> tuple[str, int]:
    return str(get(vm, "metadata", "creationTimestamp", default="")), index_of(vm)
