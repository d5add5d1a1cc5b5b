"""DataVolume (CDI)."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.claims import access_mode_errors, storage_errors, storage_request
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.pod_defaults import canonical_resources
from vmpod.kinds.parts.reading import dig, mapping, section, set_keys, text
from vmpod.kinds.parts.support import ACTED, REFUSED, Tree, unsupported
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, refused, required, wrong
from vmpod.model.table import AGE, NAME

KEPT_FROM = "vmpod.io/kept-from"
"""On a DataVolume that outlives its machine: the uid of that, which goes and shall not take it up again"""
EXTERNAL = "Data volume should have either Source or SourceRef, or be externally populated"
SOURCES = ("http", "registry", "blank", "upload", "pvc", "s3", "gcs", "imageio", "vddk", "snapshot")
_REFUSED = {
    "source.imageio": "there is no client of oVirt's ImageIO here: download the disk and import the file",
    "source.vddk": "VMware's VDDK, which reads disks of vSphere, is not to be had here: export the machine, and import "
                   "its .ova or .vmdk",
    "source.registry.imageStream": "there are no image streams here: name the image by url",
    "checkpoints": "only imageio and vddk send a disk in stages",
}  # fmt: skip
_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
_SIZED_BY_SOURCE = ("pvc", "snapshot")
_FROM: Tree = {"url": ACTED, "secretRef": ACTED, "certConfigMap": ACTED}
_SPEC: Tree = {
    "contentType": ACTED, "pvc": ACTED, "storage": ACTED, "preallocation": ACTED, "checkpoints": REFUSED,
    "source": {
        "imageio": REFUSED,
        "vddk": REFUSED,
        "registry": {**_FROM, "pullMethod": ACTED, "imageStream": REFUSED,
                     "platform": {"architecture": ACTED}},
        "s3": _FROM,
        "gcs": {"url": ACTED, "secretRef": ACTED},
        "http": {**_FROM, "checksum": ACTED, "extraHeaders": ACTED, "secretExtraHeaders": ACTED,
                 "insecureSkipVerify": ACTED},
        "blank": ACTED,
        "upload": ACTED,
        "pvc": ACTED,
        "snapshot": ACTED,
    },
    "sourceRef": ACTED,
}
PREALLOCATION = _SPEC["preallocation"]
IMPORTED: Tree = {"source": _SPEC["source"], "contentType": ACTED, "preallocation": PREALLOCATION, "targetClaim": ACTED}
"""What of a VolumeImportSource is acted on"""
_LOCAL_SOURCES = ("pvc", "snapshot", "upload")  # of DataVolumes alone


def default(obj: Object) -> Object:
    """No constants; quantities as the API server writes them back."""
    for key in ("pvc", "storage"):
        canonical_resources(dig(section(obj, "spec"), key).get("resources"))
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    """CDI's datavolume-validate webhook."""
    spec = mapping(new.get("spec"))
    if old is not None:
        return [] if spec == mapping(old.get("spec")) else [refused("spec", "Cannot update DataVolume Spec")]
    return [*_storage_errors(spec), *_source_errors(spec), *_refusals(spec)]


def _refusals(spec: Object) -> Iterator[FieldError]:
    """What CDI takes and nobody here can do; better said now than by a volume that is never filled."""
    for path, why in _REFUSED.items():
        *above, key = path.split(".")
        if dig(spec, *above).get(key) not in (None, "", []):
            yield refused(f"spec.{path}", f"not supported: {why}")


def _storage_errors(spec: Object) -> Iterator[FieldError]:
    """A place to put the content into, and how large it is unless the source says so."""
    given = set_keys(spec, ("pvc", "storage"))
    if not given:
        yield required("spec.PVC", "Missing Data volume PVC")
        return
    if len(given) > 1:
        yield wrong("spec", given, "Duplicate storage definition, both target storage and target pvc defined")
        return
    claim, path = mapping(spec[given[0]]), f"spec.{given[0]}"
    size, modes = dig(claim, "resources", "requests").get("storage"), claim.get("accessModes")
    if size is None and not set_keys(mapping(spec.get("source")), _SIZED_BY_SOURCE) and not spec.get("sourceRef"):
        yield wrong(f"{path}.resources.requests.size", "", "PVC size is missing")
    elif size is not None and storage_request(claim) is not None and (storage_request(claim) or 0) <= 0:
        yield wrong(f"{path}.resources.requests.size", size, "PVC size can't be equal or less than zero")
    elif size is not None:
        yield from storage_errors(claim, path)
    if isinstance(modes, list) and modes:
        yield from access_mode_errors(modes, f"{path}.accessModes")
    elif given[0] == "pvc":
        yield required("spec.pvc.accessModes", "at least 1 access mode is required")


def content_errors(spec: Object) -> Iterator[FieldError]:
    """What the volume is to hold: a disk or files."""
    content = text(spec, "contentType")
    if content not in ("", "kubevirt", "archive"):
        yield wrong("spec.contentType", content, "ContentType not one of: kubevirt, archive")


def import_errors(spec: Object) -> Iterator[FieldError]:
    """The one source of a VolumeImportSource."""
    yield from content_errors(spec)
    source = mapping(spec.get("source"))
    given = set_keys(source, tuple(key for key in SOURCES if key not in _LOCAL_SOURCES))
    if len(given) != 1:
        told = "Multiple VolumeImport sources" if given else "Missing VolumeImport source"
        yield wrong("spec.source", given, told)
    for key in given:
        yield from _one_source(key, mapping(source[key]), f"spec.source.{key}", text(spec, "contentType"))


def _source_errors(spec: Object) -> Iterator[FieldError]:
    yield from content_errors(spec)
    content = text(spec, "contentType")
    source = spec.get("source")
    if (source is None) == (spec.get("sourceRef") is None):
        yield wrong("spec.source", source, EXTERNAL)
        return
    given = set_keys(mapping(source), SOURCES)
    if source is not None and len(given) != 1:
        yield wrong("spec.source", given, "Multiple Data volume sources" if given else "Missing Data volume source")
    for key in given:
        yield from _one_source(key, mapping(mapping(source)[key]), f"spec.source.{key}", content)


def _one_source(kind: str, source: Object, path: str, content: str) -> Iterator[FieldError]:
    match kind:
        case "http" | "s3":
            yield from _url_errors(text(source, "url"), f"{path}.url", ("http", "https"))
            if (checksum := text(source, "checksum")) and (why := _checksum_fault(checksum)):
                yield wrong(f"{path}.checksum", checksum, why)
        case "gcs":
            yield from _url_errors(text(source, "url"), f"{path}.url", ("gs", "http", "https"))
        case "registry":
            yield from _registry_errors(source, path, content)
        case "blank" if content == "archive":
            yield wrong("spec.contentType", content, "SourceType cannot be blank and the contentType be archive")
        case "pvc" if not (source.get("name") and source.get("namespace")):
            yield wrong(path, source, "PVC source must have a name and a namespace")


def _registry_errors(source: Object, path: str, content: str) -> Iterator[FieldError]:
    url, stream, method = text(source, "url"), text(source, "imageStream"), text(source, "pullMethod")
    if not url and not stream:
        yield wrong(path, source, "source registry requires either url or imageStream")
    if url and stream:
        yield wrong(path, source, "source registry should have either url or imageStream, not both")
    if url:
        yield from _url_errors(url, f"{path}.url", ("docker", "oci-archive"))
    if method not in ("", "pod", "node"):
        yield wrong(f"{path}.pullMethod", method, f'ImportMethod {method} is neither pod, node or ""')
    if stream and method != "node":
        told = "importing from an imageStream is supported only with pullMethod node"
        yield wrong(f"{path}.imageStream", stream, told)
    if content == "archive":
        yield wrong("spec.contentType", content, "ContentType must be kubevirt when Source is Registry")


def _checksum_fault(said: str) -> str:
    """What is wrong with a checksum, in CDI's words; empty when nothing is."""
    algorithm, colon, digits = (part.strip().lower() for part in said.partition(":"))
    if not colon:
        return f"invalid checksum format: expected 'algorithm:hash', got '{said}'"
    if not digits:
        return "checksum hash value cannot be empty"
    if algorithm not in _DIGITS:
        return f"unsupported hash algorithm '{algorithm}': supported algorithms are: {', '.join(_DIGITS)}"
    if len(digits) != _DIGITS[algorithm]:
        return f"invalid {algorithm} hash length: expected {_DIGITS[algorithm]} hex characters, got {len(digits)}"
    return "" if set(digits) <= set("0123456789abcdef") else "checksum hash is not valid hexadecimal"


def _url_errors(url: str, path: str, schemes: tuple[str, ...]) -> Iterator[FieldError]:
    if not url:
        yield wrong(path, url, "source URL is empty")
    elif urlsplit(url).scheme not in schemes:
        yield wrong(path, url, f"Invalid source URL scheme: {url}, must be one of {', '.join(schemes)}")


DATAVOLUME = Kind(
    "cdi.kubevirt.io", "v1beta1", "DataVolume", "datavolumes", True,
    short_names=("dv", "dvs"),
    categories=("all",),
    columns=(
        NAME,
        cell("Phase", lambda obj: dig(obj, "status").get("phase")),
        cell("Progress", lambda obj: dig(obj, "status").get("progress")),
        cell("Restarts", lambda obj: dig(obj, "status").get("restartCount"), "integer"),
        AGE,
    ),
    default=default,
    validate=all_of(metadata_rules(), _rules),
    warnings=lambda obj: list(unsupported(obj.get("spec"), _SPEC, "spec")),
    subresources=frozenset({"status"}),
    has_generation=True,
)
