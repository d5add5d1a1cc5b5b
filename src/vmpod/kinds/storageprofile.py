"""StorageProfile (CDI): what claims of a storage class are like when a DataVolume does not say it."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.claims import VOLUME_MODES, access_mode_errors
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, indexed
from vmpod.kinds.parts.support import ACTED, Tree, unsupported
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, not_supported

SHARING = ("csi-clone", "snapshot")
"""Strategies of copies that share their disk with what they are copied from, as every copy here does"""
_SPEC: Tree = {"claimPropertySets": ACTED, "cloneStrategy": frozenset(SHARING),
               "dataImportCronSourceFormat": frozenset({"pvc"})}  # fmt: skip


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    return list(_set_errors(dig(new, "spec")))


def _set_errors(spec: Object) -> Iterator[FieldError]:
    for path, one in indexed(spec, "claimPropertySets", "spec"):
        yield from access_mode_errors(list(one.get("accessModes") or ()), f"{path}.accessModes")
        if one.get("volumeMode") not in (None, *VOLUME_MODES):
            yield not_supported(f"{path}.volumeMode", one["volumeMode"], VOLUME_MODES)


STORAGEPROFILE = Kind(
    "cdi.kubevirt.io", "v1beta1", "StorageProfile", "storageprofiles", False,
    validate=all_of(metadata_rules(), _rules),
    warnings=lambda obj: list(unsupported(obj.get("spec"), _SPEC, "spec")),
    subresources=frozenset({"status"}),
    has_generation=True,
)
