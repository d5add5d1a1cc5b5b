"""Namespace."""

from __future__ import annotations

from vmpod.kinds.kind import Kind
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, mapping, section, text
from vmpod.model import names
from vmpod.model.meta import Object
from vmpod.model.table import AGE, NAME

NAME_LABEL = "kubernetes.io/metadata.name"


def default(obj: Object) -> Object:
    """The label with its own name."""
    name = text(mapping(obj.get("metadata")), "name")
    if name:
        section(obj, "metadata", "labels")[NAME_LABEL] = name
    return obj


def activate(obj: Object) -> Object:
    """A new one is Active and waits, when deleted, for its content to go."""
    obj["status"] = {"phase": "Active"}
    finalizers = section(obj, "spec").setdefault("finalizers", [])
    if isinstance(finalizers, list) and "kubernetes" not in finalizers:
        finalizers.append("kubernetes")
    return obj


def keep_finalizers(new: Object, old: Object) -> Object:
    """`spec.finalizers` is the server's; only while the namespace goes away may it shrink."""
    kept = dig(old, "spec").get("finalizers")
    if isinstance(kept, list) and kept and not mapping(old.get("metadata")).get("deletionTimestamp"):
        section(new, "spec")["finalizers"] = list(kept)
    return new


NAMESPACE = Kind(
    "", "v1", "Namespace", "namespaces", False,
    short_names=("ns",),
    columns=(NAME, cell("Status", lambda obj: text(obj.get("status"), "phase")), AGE),
    default=default,
    validate=metadata_rules(names.label_faults),
    on_create=activate,
    on_update=keep_finalizers,
    subresources=frozenset({"status", "finalize"}),
    selectable=("status.phase",),
)
