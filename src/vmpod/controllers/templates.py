"""Pod templates of Deployments and ReplicaSets: equality, the hash that names them, revisions."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

from vmpod.controllers.children import suffix
from vmpod.model.meta import Object, get, labels, name
from vmpod.model.meta import annotations as annotations_of

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
# What a ReplicaSet does not take over from its Deployment's annotations (pkg/controller/deployment/util).
_NOT_COPIED = frozenset({
    "kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MAXIMUM,
    "deprecated.deployment.rollback.to",
})


def bare(template: Object) -> Object:
    """A copy of a template without the label that says whose it is."""
    copied = deepcopy(template)
    meta = copied.get("metadata") or {}
    if meta.get("labels"):
        meta["labels"].pop(HASH_LABEL, None)
    copied["metadata"] = {key: value for key, value in meta.items() if value}
    return copied


def template_hash(deployment: Object) -> str:
    """Ten letters that stand for the template, moved by status.collisionCount."""
    template = bare(get(deployment, "spec", "template", default={}))
    return suffix(template, get(deployment, "status", "collisionCount", default=0), length=10)


def current(deployment: Object, replicasets: Iterable[Object]) -> Object | None:
    """The oldest ReplicaSet that carries the Deployment's present template."""
    wanted = bare(get(deployment, "spec", "template", default={}))
    marked = template_hash(deployment)
    matching = [one for one in replicasets if labels(one).get(HASH_LABEL) == marked
                or bare(get(one, "spec", "template", default={})) == wanted]
    return min(matching, key=by_age, default=None)


def by_age(replicaset: Object) -> tuple[str, str]:
    """Sorts the oldest first."""
    return str(get(replicaset, "metadata", "creationTimestamp", default="")), name(replicaset)


def revision_of(obj: Object) -> int:
    """The number in the revision annotation, 0 when there is none."""
    text = annotations_of(obj).get(REVISION, "0")
    return int(text) if text.isdecimal() else 0


def size_annotations(replicas: int, surge: int) -> dict[str, str]:
    """What a ReplicaSet remembers of its Deployment's size, to tell a scaling from a rollout."""
    return {DESIRED: str(replicas), MAXIMUM: str(replicas + surge)}


def copied_annotations(deployment: Object) -> dict[str, str]:
    """The Deployment's annotations that its ReplicaSets carry (change-cause among them)."""
    return {key: text for key, text in annotations_of(deployment).items() if key not in _NOT_COPIED}


def revision_annotations(deployment: Object, replicaset: Object | None, old: Iterable[Object]) -> dict[str, str]:
    """Annotations of the present ReplicaSet: the newest revision, its former ones, what the Deployment says."""
    newest = max((revision_of(one) for one in old), default=0) + 1
    held = revision_of(replicaset) if replicaset is not None else 0
    result = copied_annotations(deployment) | {REVISION: str(max(newest, held))}
    if replicaset is not None and 0 < held < newest:
        former = annotations_of(replicaset).get(HISTORY, "")
        result[HISTORY] = f"{former},{held}" if former else str(held)
    return result
