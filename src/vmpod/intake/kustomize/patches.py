"""patches, patchesStrategicMerge and patchesJson6902: change single objects, or all that a target selects."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmpod.base.errors import Problem
from vmpod.intake.documents import parse
from vmpod.intake.kustomize.generators import content
from vmpod.intake.kustomize.item import Item
from vmpod.kinds import for_object
from vmpod.kinds.schema import patch_schema
from vmpod.model import meta
from vmpod.model.meta import Object, clone, labels, metadata, name, namespace
from vmpod.model.patch import PatchSchema, json_patch, strategic_merge
from vmpod.model.selectors import parse_labels
from vmpod.model.status import ApiError
from vmpod.model.yaml import load


@dataclass(frozen=True)
class Patch:
    """One patch: an object to merge, or operations of RFC 6902; for what its target selects (None: its own name)."""

    content: Object | list[Object]
    target: Object | None
    source: str
    may_rename: bool = False
    may_change_kind: bool = False


def apply_all(items: list[Item], said: Object, folder: Path) -> list[Item]:
    """The items with every patch of a kustomization applied; some may be deleted by one. Raises Problem."""
    for patch in _patches(said, folder):
        for item in _targets(items, patch):
            changed = _patched(item, patch)
            if changed is None:
                items = [one for one in items if one is not item]
            else:
                item.obj = changed
    return items


def _patches(said: Object, folder: Path) -> Iterator[Patch]:
    for entry in said.get("patchesStrategicMerge") or ():
        inline = "\n" in entry
        yield from _read(entry if inline else content(folder, entry).decode(), entry if not inline else str(folder), {})
    for field in ("patches", "patchesJson6902"):
        for at, entry in enumerate(said.get(field) or ()):
            path, text = entry.get("path"), entry.get("patch")
            if bool(path) == bool(text):
                why = f"{field}[{at}] has {'both' if path else 'neither of'} path and patch"
                raise Problem(f"build {folder}", why, f"look at the kustomization in {folder}", "Invalid")
            source = str(folder / path) if path else f"{folder}: {field}[{at}]"
            yield from _read(content(folder, path).decode() if path else str(text), source, entry)


def _read(text: str, source: str, entry: Object) -> Iterator[Patch]:
    options = entry.get("options") or {}
    flags = (bool(options.get("allowNameChange")), bool(options.get("allowKindChange")))
    if _is_operations(text):
        if not entry.get("target"):
            raise Problem(f"read the patch {source}", "a JSON patch needs a target", "add target: …", "Invalid")
        yield Patch(_operations(text, source), entry["target"], source, *flags)
        return
    for one in parse(text, source):
        yield Patch(one.obj, entry.get("target"), source, *flags)


def _is_operations(text: str) -> bool:
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    first = next((line for line in lines if not line.startswith("---")), "")
    return first.lstrip().startswith(("- ", "["))


def _operations(text: str, source: str) -> list[Object]:
    """The list of a document, read as a field so that it passes as an object."""
    body = "\n".join(line for line in text.splitlines() if not line.startswith("---"))
    found = load("operations:\n" + textwrap.indent(body, "  "), source)["operations"]
    if not isinstance(found, list):
        raise Problem(f"read the patch {source}", "it is no list of operations", "", "Invalid")
    return found


# which items


def _targets(items: list[Item], patch: Patch) -> list[Item]:
    if patch.target is not None:
        return [item for item in items if _is_selected(item, patch.target)]
    assert isinstance(patch.content, dict)
    wanted = Item(patch.content, patch.source)
    found = [item for item in items if (item.group, item.kind) == (wanted.group, wanted.kind)
             and item.is_called(name(wanted.obj))
             and namespace(wanted.obj) in ("", namespace(item.obj))]  # fmt: skip
    if len(found) != 1:
        why = f"{wanted.title} is {'not there' if not found else 'there more than once'}"
        raise Problem(f"apply the patch {patch.source}", why, "give the patch a target: …", "NoTarget")
    return found


def _is_selected(item: Item, target: Object) -> bool:
    """Names and kinds are regular expressions for the whole word, as in kustomize's Selector."""
    called = [name(item.obj), *item.former]
    return (
        all(_fits(target.get(field), (value,)) for field, value in
            (("group", item.group), ("version", item.version), ("kind", item.kind)))
        and _fits(target.get("name"), called)
        and _fits(target.get("namespace"), (namespace(item.obj),))
        and parse_labels(target.get("labelSelector") or "").matches(labels(item.obj))
        and parse_labels(target.get("annotationSelector") or "").matches(meta.annotations(item.obj))
    )  # fmt: skip


def _fits(pattern: str | None, values: Any) -> bool:
    return not pattern or any(re.fullmatch(pattern, value) for value in values)


# the change


def _patched(item: Item, patch: Patch) -> Object | None:
    """The changed object, None when the patch deletes it. Raises Problem."""
    try:
        changed = _changed(item.obj, patch.content)
    except ApiError as error:
        raise Problem(f"apply the patch {patch.source} to {item.title}", error.message, "", "Patch") from None
    if not changed:
        return None
    if not patch.may_change_kind:
        changed |= {key: item.obj[key] for key in ("apiVersion", "kind") if key in item.obj}
    if not patch.may_rename:
        changed["metadata"] = {**metadata(changed), "name": name(item.obj)}
    elif name(changed) != name(item.obj):
        item.former.append(name(item.obj))
    return changed


def _changed(obj: Object, patch: Object | list[Object]) -> Object:
    if isinstance(patch, list):
        return json_patch(obj, patch)
    known = for_object(obj)
    schema = patch_schema(known) if known else None
    wanted = {**patch, "metadata": {key: value for key, value in metadata(patch).items() if key != "name"}}
    merged = strategic_merge(obj, clone(wanted), schema)
    return _patch_first(merged, wanted, schema) if merged else merged


def _patch_first(merged: Any, patch: Any, schema: PatchSchema | None) -> Any:
    """Elements that a patch names stand first in a merged list, in the patch's order: kustomize merges so, while
    kube-apiserver puts new ones last."""
    if not isinstance(merged, dict) or not isinstance(patch, dict) or schema is None:
        return merged
    for key in [key for key in patch if key in merged]:
        field = schema.field(key)
        if isinstance(merged[key], list) and field is not None and "merge" in field.strategy:
            merged[key] = _list_first(merged[key], patch[key], field)
        else:
            merged[key] = _patch_first(merged[key], patch[key], field)
    return merged


def _list_first(merged: list[Any], patch: Any, field: PatchSchema) -> list[Any]:
    key = field.merge_key
    if not key or not isinstance(patch, list):
        return merged
    named = {one[key]: (at, one) for at, one in enumerate(patch) if isinstance(one, dict) and key in one}
    deep = [_patch_first(one, named[one[key]][1], field.items()) if one.get(key) in named else one for one in merged]
    return sorted(deep, key=lambda one: named[one[key]][0] if one.get(key) in named else len(named))
