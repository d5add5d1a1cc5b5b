"""Rules of volumes in pod specs: pkg/apis/core/validation."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.parts import checks
from vmpod.kinds.parts.container_rules import field_ref_errors
from vmpod.kinds.parts.pod_defaults import VOLUME_SOURCES
from vmpod.kinds.parts.reading import indexed, mapping, set_keys, text
from vmpod.model import names
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, refused, required, wrong

HOST_PATH_TYPES = (
    "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)
MODE_RULE = "must be a number between 0 and 0777 (octal), both inclusive"


def volume_errors(spec: Object, path: str) -> Iterator[FieldError]:
    """Every fault of the volumes of a pod spec."""
    found = list(indexed(spec, "volumes", path))
    for here, volume in found:
        name = text(volume, "name")
        yield from checks.by_rule(f"{here}.name", name, names.label_faults) if name else [required(f"{here}.name")]
        given = set_keys(volume, VOLUME_SOURCES)
        if not given:
            yield required(here, "must specify a volume type")
        for key in given[1:]:
            yield refused(f"{here}.{key}", "may not specify more than 1 volume type")
        if given:
            yield from _source_errors(given[0], mapping(volume[given[0]]), f"{here}.{given[0]}")
    yield from checks.duplicates((f"{here}.name", text(volume, "name")) for here, volume in found)


def _source_errors(kind: str, source: Object, path: str) -> Iterator[FieldError]:
    match kind:
        case "configMap":
            yield from checks.needed(source, "name", path)
            yield from _file_errors(source, path)
        case "secret":
            yield from checks.needed(source, "secretName", path)
            yield from _file_errors(source, path)
        case "persistentVolumeClaim":
            yield from checks.needed(source, "claimName", path)
        case "hostPath":
            yield from _host_path_errors(source, path)
        case "emptyDir":
            if source.get("sizeLimit") is not None:
                yield from checks.quantity_errors(source["sizeLimit"], f"{path}.sizeLimit")
        case "downwardAPI":
            yield from _downward_errors(source, path)


def _host_path_errors(source: Object, path: str) -> Iterator[FieldError]:
    yield from checks.needed(source, "path", path)
    if ".." in text(source, "path").split("/"):
        yield wrong(f"{path}.path", source["path"], "must not contain '..'")
    yield from checks.one_of(source, "type", path, HOST_PATH_TYPES)


def _mode_errors(holder: Object, key: str, path: str) -> Iterator[FieldError]:
    mode = holder.get(key)
    if mode is not None and (not isinstance(mode, int) or not 0 <= mode <= 0o777):
        yield wrong(f"{path}.{key}", mode, MODE_RULE)


def _file_errors(source: Object, path: str) -> Iterator[FieldError]:
    """Modes and the chosen keys of a volume of files."""
    yield from _mode_errors(source, "defaultMode", path)
    for here, item in indexed(source, "items", path):
        yield from checks.needed(item, "key", here)
        yield from _item_path_errors(item, here)


def _item_path_errors(item: Object, path: str) -> Iterator[FieldError]:
    yield from checks.needed(item, "path", path)
    target = text(item, "path")
    if target.startswith("/"):
        yield wrong(f"{path}.path", target, "must be a relative path")
    if ".." in target.split("/"):
        yield wrong(f"{path}.path", target, "must not contain '..'")
    yield from _mode_errors(item, "mode", path)


def _downward_errors(source: Object, path: str) -> Iterator[FieldError]:
    yield from _mode_errors(source, "defaultMode", path)
    for here, item in indexed(source, "items", path):
        yield from _item_path_errors(item, here)
        field = item.get("fieldRef")
        if isinstance(field, dict):
            allowed = text(field, "fieldPath") in ("metadata.labels", "metadata.annotations")
            yield from [] if allowed else field_ref_errors(text(field, "fieldPath"), f"{here}.fieldRef.fieldPath")
        elif item.get("resourceFieldRef") is None:
            yield required(here, "one of fieldRef and resourceFieldRef is required")
