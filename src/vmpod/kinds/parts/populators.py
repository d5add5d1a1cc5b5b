"""The claims that CDI's populators fill: they name an object that says with what, and are bound when they hold it."""

from __future__ import annotations

from vmpod.kinds.parts.reading import dig, mapping, text
from vmpod.model.meta import Object

GROUP = "cdi.kubevirt.io"
IMPORT, UPLOAD, CLONE = "VolumeImportSource", "VolumeUploadSource", "VolumeCloneSource"


def populator(claim: Object) -> str:
    """The kind of the populator's object that a claim names; empty of any other claim."""
    named = reference(claim)
    kind = text(named, "kind")
    return kind if text(named, "apiGroup") == GROUP and kind in (IMPORT, UPLOAD, CLONE) else ""


def reference(claim: Object) -> Object:
    """What a claim is to be filled from; empty when it says nothing."""
    spec = dig(claim, "spec")
    return mapping(spec.get("dataSourceRef") or spec.get("dataSource"))
