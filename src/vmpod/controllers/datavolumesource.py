"""What fills a DataVolume: the source in its spec, or the one that a DataSource names for it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vmpod.client.cache import Cache
from vmpod.kinds import CDICONFIG, DATASOURCE, PERSISTENTVOLUMECLAIM, VOLUMESNAPSHOT
from vmpod.kinds.parts.populators import IMPORT, UPLOAD
from vmpod.model import quantity
from vmpod.model.meta import Object, get, is_deleting, name, namespace

Named = tuple[str, str]
_COPIED = {"pvc": PERSISTENTVOLUMECLAIM, "snapshot": VOLUMESNAPSHOT}
_CLONED = {("", "PersistentVolumeClaim"): "pvc", ("snapshot.storage.k8s.io", "VolumeSnapshot"): "snapshot"}


@dataclass(frozen=True)
class Source:
    """Kind and content of what fills a volume; `origin` is the object that it is copied from, `lacking` why it is not
    there (reason and message). `reserves` says that CDI's configuration wants room to be reserved.
    """

    kind: str = ""
    content: Object = field(default_factory=dict)
    origin: Object | None = None
    lacking: Named | None = None
    reserves: bool = False

    @property
    def copied(self) -> Named | None:
        """Namespace and name of what is copied."""
        if self.kind not in _COPIED:
            return None
        return str(self.content.get("namespace") or ""), str(self.content.get("name") or "")

    @property
    def size(self) -> str:
        """How large a copy has to be at least; empty when that is not known."""
        if self.origin is None:
            return ""
        asked = get(self.origin, "spec", "resources", "requests", "storage")
        held = get(self.origin, "status", "capacity", "storage") or get(self.origin, "status", "restoreSize")
        return str(held or asked or "")


def is_copy(volume: Object) -> bool:
    """Whether a DataVolume is filled from an object of this home."""
    return get(volume, "spec", "sourceRef") is not None or any(get(volume, "spec", "source", kind) for kind in _COPIED)


def find_source(volume: Object, cache: Cache) -> Source:
    """The source of a volume, and what is copied for it."""
    return replace(_found(volume, cache), reserves=_reserves(cache))


def _reserves(cache: Cache) -> bool:
    return get(cache.get(CDICONFIG, "", "config"), "spec", "preallocation") is True


def _found(volume: Object, cache: Cache) -> Source:
    reference = get(volume, "spec", "sourceRef")
    if not reference:
        return _with_origin(*_one(get(volume, "spec", "source", default={})), namespace(volume), cache)
    if reference.get("kind") != "DataSource":
        text = f"Unsupported sourceRef kind {reference.get('kind')}: use DataSource"
        return Source(lacking=("ErrClaimNotValid", text))
    return _named(str(reference.get("namespace") or namespace(volume)), str(reference.get("name")), cache)


def _one(given: Object) -> tuple[str, Object]:
    """Name and content of the one source that is set; ("", {}) when there is none."""
    return next(((key, value or {}) for key, value in given.items() if value is not None), ("", {}))


def _named(where: str, wanted: str, cache: Cache) -> Source:
    """What a DataSource names; one that points to another DataSource is followed once, as upstream."""
    for _ in range(2):
        found = cache.get(DATASOURCE, where, wanted)
        if found is None or is_deleting(found):
            return Source(lacking=("CloneWithoutSource", f"The source DataSource {where}/{wanted} doesn't exist"))
        kind, content = _one(get(found, "spec", "source", default={}))
        if kind != "dataSource":
            return _with_origin(kind, content, where, cache)
        where, wanted = str(content.get("namespace") or where), str(content.get("name") or "")
    return Source(lacking=("CloneWithoutSource", "DataSource must not point to a DataSource that points to another"))


def _with_origin(kind: str, content: Object, where: str, cache: Cache) -> Source:
    if kind not in _COPIED:
        return Source(kind, content)
    content = {**content, "namespace": content.get("namespace") or where}
    key = (str(content["namespace"]), str(content.get("name") or ""))
    found = cache.get(_COPIED[kind], *key)
    if found is None or is_deleting(found):
        return Source(kind, content, None, ("CloneWithoutSource", f"The source {kind} {'/'.join(key)} doesn't exist"))
    if kind == "snapshot" and get(found, "status", "readyToUse") is not True:
        told = f"The source snapshot {'/'.join(key)} is not ready to use"
        return Source(kind, content, None, ("SnapshotNotReady", told))
    return Source(kind, content, found)


def too_small(volume: Object, asked: object, source: Source) -> str:
    """Why a copy does not fit into the size that is asked for; empty when it does."""
    if not source.size or not isinstance(asked, (str, int)):
        return ""
    if quantity.to_bytes(asked) >= quantity.to_bytes(source.size):
        return ""
    return (f"The clone doesn't meet the validation requirements: target resources requests storage size is smaller "
            f"than the source {asked} < {source.size} of {name(source.origin or {})}")  # fmt: skip


def of_populator(named: Object, cache: Cache) -> Source:
    """The source that an object of a populator tells."""
    return replace(_told(named, cache), reserves=_reserves(cache))


def _told(named: Object, cache: Cache) -> Source:
    given = get(named, "spec", "source", default={})
    if named.get("kind") == UPLOAD:
        return Source("upload")
    if named.get("kind") == IMPORT:
        return Source(*_one(given))
    kind = _CLONED.get((str(given.get("apiGroup") or ""), str(given.get("kind"))))
    if kind is None:
        told = f"spec.source.kind {given.get('kind')} is not supported: use PersistentVolumeClaim or VolumeSnapshot"
        return Source(lacking=("NotSupported", told))
    return _with_origin(kind, {"name": given.get("name")}, namespace(named), cache)
