"""Names, ownership and finalizers of the objects that controllers make for other objects."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from vmpod.kinds.kind import Kind
from vmpod.model.meta import Object, controller_of, get, name, namespace, owner_reference, uid
from vmpod.reconcile.actions import Delete, Patch

# The letters of Kubernetes' generated names: no vowels, so no words (k8s.io/apimachinery/pkg/util/rand).
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"

# Keeps an instance until its launcher is gone; upstream a webhook adds it to every VirtualMachineInstance.
INSTANCE_FINALIZER = "foregroundDeleteVirtualMachine"
# Keeps a VirtualMachine until its instance is gone, and an instance until its machine has seen how it ended.
MACHINE_FINALIZER = "kubevirt.io/virtualMachineControllerFinalize"


def suffix(*seeds: object, length: int = 5) -> str:
    """A name's ending that depends on nothing but the seeds: planning twice names the same child."""
    number = int.from_bytes(hashlib.sha256(json.dumps(seeds, sort_keys=True, default=str).encode()).digest(), "big")
    letters = []
    for _ in range(length):
        number, index = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[index])
    return "".join(letters)


def fraction(*seeds: object) -> float:
    """A number in [0, 1) that depends on nothing but the seeds: jitter that can be planned again."""
    digest = hashlib.sha256(json.dumps(seeds, default=str).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def is_controlled_by(obj: Object, owner: Object) -> bool:
    """Whether `owner` is the one controller of `obj`."""
    return bool(uid(owner)) and (controller_of(obj) or {}).get("uid") == uid(owner)


def child_metadata(owner: Object, child_name: str, template: Object | None = None) -> Object:
    """Metadata of a child: labels and annotations of the template, the owner as its controller."""
    found = get(template, "metadata", default={})
    meta: Object = {"name": child_name, "namespace": namespace(owner), "ownerReferences": [owner_reference(owner)]}
    for key in ("labels", "annotations", "finalizers"):
        if found.get(key):
            meta[key] = list(found[key]) if key == "finalizers" else dict(found[key])
    return meta


def adopt(kind: Kind, orphan: Object, owner: Object) -> Patch:
    """Make `owner` the controller of an object that has none."""
    references = [*get(orphan, "metadata", "ownerReferences", default=[]), owner_reference(owner)]
    return metadata_patch(kind, orphan, ownerReferences=references)


def finalizers(obj: Object) -> list[str]:
    """`metadata.finalizers`."""
    return list(get(obj, "metadata", "finalizers", default=[]))


def with_finalizer(kind: Kind, obj: Object, finalizer: str) -> Patch:
    """Add a finalizer, onto this very revision."""
    return metadata_patch(kind, obj, finalizers=[*finalizers(obj), finalizer])


def without_finalizers(kind: Kind, obj: Object, *gone: str) -> Patch:
    """Take finalizers away, off this very revision."""
    return metadata_patch(kind, obj, finalizers=[one for one in finalizers(obj) if one not in gone])


def metadata_patch(kind: Kind, obj: Object, **fields: Any) -> Patch:
    """Change metadata of this very revision: lists are written whole, so another writer must not be overrun."""
    version = get(obj, "metadata", "resourceVersion", default="")
    meta = {**fields, **({"resourceVersion": version} if version else {})}
    return Patch(kind, namespace(obj), name(obj), {"metadata": meta})


def delete(kind: Kind, obj: Object, grace_s: int | None = None, propagation: str = "") -> Delete:
    """Delete this very object, not a later one of its name."""
    return Delete(kind, namespace(obj), name(obj), uid(obj), grace_s, propagation)
