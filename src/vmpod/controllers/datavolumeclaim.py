"""The claim of a DataVolume: its size from spec.pvc or spec.storage, its content asked for by CDI's annotations."""

from __future__ import annotations

from copy import deepcopy

from vmpod.controllers.children import child_metadata
from vmpod.controllers.datavolumesource import Source, too_small
from vmpod.controllers.storageprofile import properties
from vmpod.model.meta import Object, get, name, namespace

OWNED_BY = "cdi.kubevirt.io/ownedByDataVolume"
PREPOPULATED = "cdi.kubevirt.io/storage.prePopulated"
"""On a DataVolume: its claim comes from elsewhere, and is not to be made"""
_IMPORT = "cdi.kubevirt.io/storage.import."
_STORAGE = "cdi.kubevirt.io/storage."
_SUPPORTED = ("blank", "gcs", "http", "pvc", "registry", "s3", "snapshot", "upload")
UPLOAD_TARGET = "cdi.kubevirt.io/storage.upload.target"
_CLAIM_FIELDS = ("accessModes", "resources", "storageClassName", "volumeMode", "volumeName", "selector",
                 "dataSource", "dataSourceRef")
_IGNORED_ANNOTATIONS = ("kubectl.kubernetes.io/last-applied-configuration",)
_SOURCE_FIELDS = {
    "http": ("certConfigMap", "checksum", "extraHeaders", "insecureSkipVerify", "secretExtraHeaders",
             "secretRef", "url"),
    "s3": ("certConfigMap", "secretRef", "url"),
    "gcs": ("secretRef", "url"),
    "registry": ("certConfigMap", "platform", "pullMethod", "secretRef", "url"),
    "blank": (),
    "upload": (),
    "pvc": ("name", "namespace"),
    "snapshot": ("name", "namespace"),
}


def refusal(volume: Object, source: Source) -> tuple[str, str] | None:
    """Reason and message when the volume asks for what this release does not do."""
    kind, content = source.kind, source.content
    if not kind:
        return source.lacking or ("ErrClaimNotValid", "spec.source names no source")
    if kind not in _SUPPORTED:
        return "NotSupported", f"spec.source.{kind} is not supported yet: use one of {', '.join(_SUPPORTED)}"
    extra = sorted(key for key, value in content.items() if value and key not in _SOURCE_FIELDS[kind])
    if extra:
        return "NotSupported", f"spec.source.{kind}.{extra[0]} is not supported yet"
    if source.lacking:
        return source.lacking
    if why := too_small(volume, _size(volume), source):
        return "ErrIncompatiblePVC", why
    if not (_size(volume) or source.size):
        return "ErrClaimNotValid", "PVC size is missing: set spec.storage.resources.requests.storage"
    return None


def wish(volume: Object) -> Object:
    """What the volume says of its claim."""
    return dict(get(volume, "spec", "pvc") or get(volume, "spec", "storage") or {})


def _size(volume: Object) -> object:
    return get(wish(volume), "resources", "requests", "storage")


def claim(volume: Object, source: Source, profile: Object | None = None) -> Object:
    """The PersistentVolumeClaim to create; the volume's labels and annotations go along.

    What spec.storage leaves open is that of the copied claim, else that of the class's profile.
    """
    meta = child_metadata(volume, name(volume), volume)
    meta.pop("finalizers", None)
    kept = {key: text for key, text in meta.get("annotations", {}).items() if key not in _IGNORED_ANNOTATIONS}
    meta["annotations"] = kept | _request(volume, source)
    if source.kind in ("pvc", "snapshot"):
        shared = source.kind == "pvc" and get(profile, "status", "cloneStrategy")
        meta["annotations"]["cdi.kubevirt.io/cloneType"] = shared or {"pvc": "csi-clone"}.get(source.kind, "snapshot")
    meta["labels"] = meta.get("labels", {}) | {
        "app": "containerized-data-importer", "app.kubernetes.io/managed-by": "cdi-controller",
        "app.kubernetes.io/component": "storage",
    }
    spec = {key: deepcopy(value) for key, value in wish(volume).items() if key in _CLAIM_FIELDS and value}
    if source.size and not _size(volume):  # as large as what is copied
        spec["resources"] = {**spec.get("resources", {}), "requests": {"storage": source.size}}
    if source.kind == "pvc" and "volumeMode" not in spec:
        spec["volumeMode"] = get(source.origin, "spec", "volumeMode", default="Filesystem")
    spec |= properties(spec, profile)
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def _request(volume: Object, source: Source) -> dict[str, str]:
    """The annotations by which CDI's own parts tell each other what to fill a claim with."""
    kind, content, copied = source.kind, source.content, "/".join(source.copied or ())
    said = get(volume, "spec", "preallocation")
    asked = {
        OWNED_BY: f"{namespace(volume)}/{name(volume)}",
        _STORAGE + "contentType": str(get(volume, "spec", "contentType", default="kubevirt")),
        _STORAGE + "preallocation.requested": str(bool(source.reserves if said is None else said)).lower(),
        _IMPORT + "source": {"blank": "none", "upload": ""}.get(kind, kind),
        _IMPORT + "endpoint": copied or content.get("url"),
        _IMPORT + "secretName": content.get("secretRef"),
        _IMPORT + "certConfigMap": content.get("certConfigMap"),
        _IMPORT + "registryImportMethod": content.get("pullMethod"),
        _IMPORT + "registryImageArchitecture": get(content, "platform", "architecture"),
        _IMPORT + "checksum": content.get("checksum"),
        _IMPORT + "insecureSkipVerify": "true" if content.get("insecureSkipVerify") is True else "",
        "k8s.io/CloneRequest": copied if kind == "pvc" else "",
    }
    for key in ("extraHeaders", "secretExtraHeaders"):
        asked |= {f"{_IMPORT}{key}.{number}": one for number, one in enumerate(content.get(key) or ())}
    marks = {key: str(text) for key, text in asked.items() if text}
    if kind == "pvc" and get(source.origin, "metadata", "annotations", _STORAGE + "contentType") == "archive":
        marks[_STORAGE + "contentType"] = "archive"
    return marks | {UPLOAD_TARGET: ""} if kind == "upload" else marks


def refusal_of(claim: Object, spec: Object, source: Source) -> tuple[str, str] | None:
    """The same for a claim that is there and names an object of this spec, of a populator."""
    return refusal(_as_volume(claim, spec), source)


def population(claim: Object, spec: Object, source: Source) -> dict[str, str]:
    """The annotations by which such a claim is filled, as that of a DataVolume is."""
    marks = _request(_as_volume(claim, spec), source)
    del marks[OWNED_BY]
    return marks


def _as_volume(claim: Object, spec: Object) -> Object:
    return {"metadata": claim["metadata"], "spec": {**spec, "pvc": claim["spec"]}}
