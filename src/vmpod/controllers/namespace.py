"""Namespace → what every namespace has; and its end: everything in it first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from vmpod.client.cache import Cache
from vmpod.controllers.children import delete, finalizers
from vmpod.controllers.config import ControllerConfig
from vmpod.kinds import CONFIGMAP, NAMESPACE, SERVICEACCOUNT
from vmpod.kinds.kind import Kind
from vmpod.model import conditions
from vmpod.model.meta import Object, controller_of, get, is_deleting, name, namespace, uid
from vmpod.reconcile.actions import Action, Create, Patch, Plan, Replace
from vmpod.reconcile.loop import Key, Watch, own

ROOT_CA = "kube-root-ca.crt"
_ACCOUNT = "default"
_FINALIZER = "kubernetes"
_LOOK_AGAIN_S = 0.2  # while a namespace ends; its content is not watched for it
_NOTE = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints"


def _of(obj: Object, wanted: str) -> tuple[Key, ...]:
    return (("", namespace(obj)),) if name(obj) == wanted else ()


KIND = NAMESPACE
WATCHES = (
    own(NAMESPACE), Watch(SERVICEACCOUNT, lambda obj: _of(obj, _ACCOUNT)),
    Watch(CONFIGMAP, lambda obj: _of(obj, ROOT_CA)),
)


@dataclass(frozen=True)
class Seen:
    """A namespace, its default objects, and (while it ends) everything in it."""

    namespace: Object
    account: Object | None
    root_ca: Object | None
    content: tuple[tuple[Kind, Object], ...]
    ca_pem: str
    now: datetime


def gather(key: Key, cache: Cache, now: datetime, config: ControllerConfig) -> Seen | None:
    found = cache.get(NAMESPACE, *key)
    if found is None:
        return None
    space = name(found)
    kinds = [kind for kind in cache.kinds if kind.namespaced] if is_deleting(found) else []
    content = tuple((kind, obj) for kind in kinds for obj in cache.list(kind, space))
    account, root_ca = cache.get(SERVICEACCOUNT, space, _ACCOUNT), cache.get(CONFIGMAP, space, ROOT_CA)
    return Seen(found, account, root_ca, content, config.ca_pem, now)


def plan(seen: Seen) -> Plan:
    return _plan_end(seen) if is_deleting(seen.namespace) else Plan(tuple(_plan_defaults(seen)))


def _plan_defaults(seen: Seen) -> list[Action]:
    space = name(seen.namespace)
    actions: list[Action] = []
    if seen.account is None:
        meta = {"name": _ACCOUNT, "namespace": space}
        actions.append(Create(SERVICEACCOUNT, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}))
    if seen.root_ca is None:
        described: Object = {"name": ROOT_CA, "namespace": space, "annotations": {"kubernetes.io/description": _NOTE}}
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": described, "data": {"ca.crt": seen.ca_pem}}
        actions.append(Create(CONFIGMAP, made))
    elif get(seen.root_ca, "data", "ca.crt") != seen.ca_pem and not is_deleting(seen.root_ca):
        actions.append(Patch(CONFIGMAP, space, ROOT_CA, {"data": {"ca.crt": seen.ca_pem}}))
    return actions


def _plan_end(seen: Seen) -> Plan:
    if seen.content:
        return Plan(tuple(delete(kind, obj, propagation="Background") for kind, obj in _next(seen)), _LOOK_AGAIN_S)
    if _FINALIZER not in get(seen.namespace, "spec", "finalizers", default=()):
        return Plan()
    kept = [one for one in seen.namespace["spec"]["finalizers"] if one != _FINALIZER]
    return Plan((Replace(NAMESPACE, {**seen.namespace, "spec": {"finalizers": kept}}, "finalize"),))


def _next(seen: Seen) -> list[tuple[Kind, Object]]:
    """What to delete now: owners before what they control, else their controllers would make it again."""
    present = {uid(obj) for _, obj in seen.content}
    return [(kind, obj) for kind, obj in seen.content
            if not is_deleting(obj) and get(controller_of(obj), "uid") not in present]


def status(seen: Seen, plan: Plan) -> Object | None:
    if not is_deleting(seen.namespace):
        return {"phase": "Active"}
    old = get(seen.namespace, "status", "conditions", default=[])
    held = Counter(one for _, obj in seen.content for one in finalizers(obj))
    found = conditions.set_condition(old, "NamespaceContentRemaining", bool(seen.content), *_remaining(seen), seen.now)
    waits = ("SomeFinalizersRemain", f"Some content in the namespace has finalizers remaining: {_told(held)}")
    done = ("ContentHasNoFinalizers", "All content-preserving finalizers finished")
    found = conditions.set_condition(
        found, "NamespaceFinalizersRemaining", bool(held), *(waits if held else done), seen.now)
    return {"phase": "Terminating", "conditions": found}


def _remaining(seen: Seen) -> tuple[str, str]:
    if not seen.content:
        return "ContentRemoved", "All content successfully removed"
    counts = Counter(kind.resource for kind, _ in seen.content)
    told = ", ".join(f"{resource} has {count} resource instances" for resource, count in sorted(counts.items()))
    return "SomeResourcesRemain", f"Some resources are remaining: {told}"


def _told(held: Counter[str]) -> str:
    return ", ".join(f"{one} in {count} resource instances" for one, count in sorted(held.items()))
