"""Volumes that are made of objects: ConfigMaps, Secrets, the downward API, and projections of them, as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from vmpod.base.errors import Problem
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.node.translate import env, resources

Lookup = Callable[[str, str], Object | None]
_MODE = 0o644
_SOURCES = ("configMap", "secret", "downwardAPI", "projected")


@dataclass(frozen=True)
class File:
    """A file in a volume; `path` is relative to the volume."""

    path: str
    content: bytes
    mode: int = _MODE


def files(
    volume: Object, pod: Object, lookup: Lookup, tokens: Mapping[str, bytes] | None = None
) -> list[File] | None:
    """The files that a volume of objects holds; None for other kinds of volumes.

    `lookup(kind, name)` finds ConfigMap and Secret in the pod's namespace; `tokens` are those of the volume, by path.
    Raises Problem, in the kubelet's words, while an object or key is missing.
    """
    kind = next((name for name in _SOURCES if name in volume), "")
    if not kind:
        return None
    source = volume[kind] or {}
    mode = _mode(source.get("defaultMode"), _MODE)
    if kind != "projected":
        return _unique(_one(kind, source, pod, lookup, mode))
    found: list[File] = []
    for part in source.get("sources") or ():
        for name, inner in part.items():
            if name == "serviceAccountToken":
                path = _path(inner, "token")
                found.append(File(path, (tokens or {})[path], mode))
            else:
                found += _one(name, inner or {}, pod, lookup, mode)
    return _unique(found)


def _unique(found: list[File]) -> list[File]:
    """Of two sources for one path the later wins."""
    return list({file.path: file for file in found}.values())


def _one(kind: str, source: Mapping[str, Any], pod: Object, lookup: Lookup, mode: int) -> list[File]:
    if kind == "configMap":
        return _from_object("ConfigMap", str(source.get("name", "")), source, pod, lookup, mode)
    if kind == "secret":
        name = str(source.get("secretName") or source.get("name") or "")
        return _from_object("Secret", name, source, pod, lookup, mode)
    if kind == "downwardAPI":
        return [_from_pod(item, pod, mode) for item in source.get("items") or ()]
    raise _problem(f"projected source {kind} is not supported")


def _from_object(
    kind: str, name: str, source: Mapping[str, Any], pod: Object, lookup: Lookup, mode: int
) -> list[File]:
    held, optional = lookup(kind, name), bool(source.get("optional"))
    if held is None:
        if optional:
            return []
        raise _problem(f'{kind.lower()} "{name}" not found')
    data = env.data(held)
    items = source.get("items")
    if not items:
        return [File(key, content, mode) for key, content in sorted(data.items())]
    found = []
    for item in items:
        key = str(item.get("key", ""))
        if key in data:
            found.append(File(_path(item, key), data[key], _mode(item.get("mode"), mode)))
        elif not optional:
            raise _problem(f"references non-existent {kind.lower()} key: {key}")
    return found


def _from_pod(item: Mapping[str, Any], pod: Object, mode: int) -> File:
    path, own = _path(item, ""), _mode(item.get("mode"), mode)
    if "fieldRef" in item:
        text = env.metadata_field(pod, str(item["fieldRef"].get("fieldPath", "")))
        return File(path, text.encode(), own)
    wanted = item.get("resourceFieldRef") or {}
    spec = meta.get(pod, "spec", default={})
    everyone = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    nobody: Object = {}
    owner = next((one for one in everyone if one.get("name") == wanted.get("containerName")), nobody)
    try:
        text = resources.field(owner, str(wanted.get("resource", "")), wanted.get("divisor"), cpus=0, memory_bytes=0)
    except ValueError as error:
        raise _problem(str(error)) from None
    return File(path, text.encode(), own)


def _path(item: Mapping[str, Any], otherwise: str) -> str:
    path = PurePosixPath(str(item.get("path") or otherwise))
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise _problem(f'the path "{path}" is not one below the volume')
    return str(path)


def _mode(given: Any, otherwise: int) -> int:
    return otherwise if given is None else int(given)


def _problem(why: str) -> Problem:
    return Problem("make the volume", why, reason="FailedMount")
