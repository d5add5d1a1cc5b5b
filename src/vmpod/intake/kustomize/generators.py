"""configMapGenerator and secretGenerator: config maps and secrets out of literals and files, with kustomize's hash."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vmpod.base.errors import Problem
from vmpod.intake.documents import unreadable
from vmpod.intake.kustomize.item import Item
from vmpod.model.meta import Object, metadata, name, namespace

_LINE: Final = 70
_SPOKEN: Final = str.maketrans("013ae", "ghkmt")  # kustomize avoids what could spell a word
_OPTIONS: Final = ("labels", "annotations")


def add(items: list[Item], said: Object, folder: Path) -> list[Item]:
    """The items with those that the kustomization generates. Raises Problem."""
    for kind, field in (("ConfigMap", "configMapGenerator"), ("Secret", "secretGenerator")):
        for entry in said.get(field) or ():
            made = _make(kind, entry, said.get("generatorOptions") or {}, folder)
            items = _placed(items, made, entry.get("behavior") or "create", folder)
    return items


def _make(kind: str, entry: Object, common: Object, folder: Path) -> Item:
    if not entry.get("name"):
        raise _wrong(folder, f"a generated {kind} has no name")
    own = entry.get("options") or {}
    obj: Object = {"apiVersion": "v1", "kind": kind, "metadata": {"name": entry["name"]}}
    if entry.get("namespace"):
        obj["metadata"]["namespace"] = entry["namespace"]
    for field in _OPTIONS:
        if marks := {**(common.get(field) or {}), **(own.get(field) or {})}:
            obj["metadata"][field] = marks
    if common.get("immutable") or own.get("immutable"):
        obj["immutable"] = True
    (_fill_secret if kind == "Secret" else _fill_config)(obj, _pairs(entry, folder), entry)
    plain = common.get("disableNameSuffixHash") or own.get("disableNameSuffixHash")
    return Item(obj, str(folder), hashed=not plain)


def _fill_secret(obj: Object, pairs: dict[str, bytes], entry: Object) -> None:
    obj["type"] = entry.get("type") or "Opaque"
    if pairs:
        obj["data"] = {key: _lines(value) for key, value in pairs.items()}


def _fill_config(obj: Object, pairs: dict[str, bytes], entry: Object) -> None:
    for key, value in pairs.items():
        try:
            obj.setdefault("data", {})[key] = value.decode()
        except UnicodeDecodeError:
            obj.setdefault("binaryData", {})[key] = _lines(value)
    if obj.get("data") == {}:
        del obj["data"]


def _lines(value: bytes) -> str:
    """Base64 as kustomize writes it: in lines when it is long. The line ends are part of what is hashed."""
    text = base64.b64encode(value).decode()
    if len(text) < _LINE:
        return text
    return "".join(f"{text[at : at + _LINE]}\n" for at in range(0, len(text), _LINE))


def tidied(obj: Object) -> Object:
    """The object with its base64 on one line each."""
    field = {"Secret": "data", "ConfigMap": "binaryData"}.get(str(obj.get("kind")), "")
    if not isinstance(obj.get(field), dict):
        return obj
    return {**obj, field: {key: "".join(value.split()) if isinstance(value, str) else value
                           for key, value in obj[field].items()}}  # fmt: skip


# where the values come from


def _pairs(entry: Object, folder: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    files = [*(entry.get("envs") or ()), *([entry["env"]] if entry.get("env") else [])]
    sources = (*(_variables(folder, file) for file in files), _literals(entry, folder), _files(entry, folder))
    for source in sources:
        for key, value in source:
            if key in found:
                raise _wrong(folder, f"{entry['name']}: the key {key!r} is given twice")
            found[key] = value
    return found


def _literals(entry: Object, folder: Path) -> Iterator[tuple[str, bytes]]:
    for text in entry.get("literals") or ():
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise _wrong(folder, f"{entry['name']}: the literal {text!r} is not KEY=VALUE")
        yield key, _unquoted(value).encode()


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _files(entry: Object, folder: Path) -> Iterator[tuple[str, bytes]]:
    for text in entry.get("files") or ():
        key, equals, path = text.partition("=")
        path = path if equals else text
        if not key or not path or "=" in path:
            raise _wrong(folder, f"{entry['name']}: the file {text!r} is not PATH or KEY=PATH")
        yield (key if equals else Path(path).name), content(folder, path)


def _variables(folder: Path, file: str) -> Iterator[tuple[str, bytes]]:
    """The lines KEY=VALUE of a file; a KEY alone takes its value from our own environment."""
    for raw in content(folder, file).decode(errors="replace").lstrip("\ufeff").splitlines():
        line = raw.lstrip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        yield key, (value if equals else os.environ.get(key, "")).encode()


def content(folder: Path, path: str) -> bytes:
    """What a file of the kustomization holds. Raises Problem when it lies outside its folder or is unreadable."""
    file = (folder / path).resolve()
    check_within(folder, file)
    try:
        return file.read_bytes()
    except OSError as error:
        raise unreadable(file, error) from None


def check_within(folder: Path, file: Path) -> None:
    """Raises Problem for a file outside the folder of its kustomization, as kustomize's load restrictor does."""
    if not file.is_relative_to(folder):
        raise _wrong(folder, f"the file {file} is not in this folder or below it")


def _wrong(folder: Path, why: str) -> Problem:
    return Problem(f"build {folder}", why, f"look at the kustomization in {folder}", "Invalid")


# generated beside, into or instead of what is there


def _placed(items: list[Item], made: Item, behavior: str, folder: Path) -> list[Item]:
    there = [one for one in items if one.kind == made.kind and one.is_called(name(made.obj))
             and namespace(made.obj) in ("", namespace(one.obj))]  # fmt: skip
    if behavior == "create":
        return [*items, made]
    if behavior not in ("merge", "replace"):
        raise _wrong(folder, f"behavior: {behavior!r} is none of create, merge, replace")
    if len(there) != 1:
        found = "is not there" if not there else f"is there {len(there)} times"
        raise _wrong(folder, f"{made.title}, which is to {behavior} one that exists, {found}")
    _join(there[0], made, keeps_data=behavior == "merge")
    return items


def _join(base: Item, made: Item, *, keeps_data: bool) -> None:
    """The generated object takes the place of the other one, whose names, labels and (merge) data it takes over."""
    joined = {key: value for key, value in made.obj.items() if key not in ("data", "binaryData")}
    for field in ("data", "binaryData"):
        if both := {**((base.obj.get(field) or {}) if keeps_data else {}), **(made.obj.get(field) or {})}:
            joined[field] = both
    head, extra = metadata(base.obj), metadata(made.obj)
    marks = {field: {**(head.get(field) or {}), **(extra.get(field) or {})} for field in _OPTIONS}
    joined["metadata"] = {**head, **{field: both for field, both in marks.items() if both}}
    base.obj, base.hashed = joined, made.hashed


def digest(obj: Object) -> str:
    """The suffix that kustomize gives a generated object: ten letters of the SHA-256 of its content.

    Source: kustomize api/hasher/hasher.go. The name counts as empty there, and HTML's signs are escaped.
    """
    fields: Object = {"kind": obj["kind"], "name": "", "data": obj.get("data", "")}
    if obj["kind"] == "Secret":
        fields["type"] = obj.get("type", "")
    for extra in ("binaryData", "stringData"):
        if isinstance(obj.get(extra), dict):
            fields[extra] = obj[extra]
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for sign in "&<>\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return hashlib.sha256(text.encode()).hexdigest()[:10].translate(_SPOKEN)
