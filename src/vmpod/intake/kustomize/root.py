"""The kustomization file itself: where it lies, and which fields it may have."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from vmpod.base.errors import Problem
from vmpod.intake.documents import text_of
from vmpod.model.meta import Object
from vmpod.model.yaml import load_all

ROOT_FILES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")

# What a field holds: a type, [shape] for a list, {"*": type} for any keys, {name: shape} for named ones.
_OPTIONS: Final = {"labels": {"*": str}, "annotations": {"*": str}, "disableNameSuffixHash": bool, "immutable": bool}
_GENERATOR: Final = {
    "name": str, "namespace": str, "behavior": str, "literals": [str], "files": [str], "envs": [str], "env": str,
    "options": _OPTIONS,
}  # fmt: skip
_TARGET: Final = {
    "group": str, "version": str, "kind": str, "name": str, "namespace": str,
    "labelSelector": str, "annotationSelector": str,
}  # fmt: skip
_PATCH: Final = {
    "path": str, "patch": str, "target": _TARGET, "options": {"allowNameChange": bool, "allowKindChange": bool},
}  # fmt: skip
_FIELDS: Final[dict[str, Any]] = {
    "apiVersion": str, "kind": str, "metadata": {"*": object}, "sortOptions": {"*": object},
    "resources": [str], "bases": [str], "components": [str],
    "namespace": str, "namePrefix": str, "nameSuffix": str,
    "commonLabels": {"*": str}, "commonAnnotations": {"*": str},
    "labels": [{"pairs": {"*": str}, "includeSelectors": bool, "includeTemplates": bool}],
    "images": [{"name": str, "newName": str, "newTag": str, "tagSuffix": str, "digest": str}],
    "replicas": [{"name": str, "count": int}],
    "configMapGenerator": [_GENERATOR], "secretGenerator": [{**_GENERATOR, "type": str}],
    "generatorOptions": _OPTIONS,
    "patches": [_PATCH], "patchesStrategicMerge": [str], "patchesJson6902": [_PATCH],
}  # fmt: skip
_NAMES: Final = {str: "a string", bool: "true or false", int: "a number"}


def root_file(folder: Path) -> Path | None:
    """The kustomization file of a folder, None when it has none."""
    return next((folder / name for name in ROOT_FILES if (folder / name).is_file()), None)


def load_root(folder: Path) -> Object:
    """The kustomization of a folder. Raises Problem for wrong syntax and, by path, for fields that are not built."""
    file = root_file(folder)
    if file is None:
        raise Problem(f"build {folder}", f"it has none of {', '.join(ROOT_FILES)}", f"ls {folder}", "Missing")
    documents = load_all(text_of(file), str(file))
    said = documents[0].obj if documents else {}
    if why := _fault(said, _FIELDS, ""):
        fix = f"kubectl kustomize {folder} | vmpod up -   (if kubectl builds it)"
        raise Problem(f"build {file}", why, fix, "Unsupported")
    return {key: value for key, value in said.items() if value is not None}


def _fault(value: Any, shape: Any, path: str) -> str:
    """What is wrong at the first wrong place, empty when nothing is."""
    if value is None or shape is object:
        return ""
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{path}: a list is expected"
        return next((why for at, one in enumerate(value) if (why := _fault(one, shape[0], f"{path}[{at}]"))), "")
    if isinstance(shape, dict):
        return _map_fault(value, shape, path)
    right = isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
    return "" if right else f"{path}: {_NAMES[shape]} is expected"


def _map_fault(value: Any, shape: dict[str, Any], path: str) -> str:
    if not isinstance(value, dict):
        return f"{path}: a map is expected"
    for key, one in value.items():
        below = f"{path}.{key}".lstrip(".")
        if key not in shape and "*" not in shape:
            return f"{below}: vmpod does not build this field"
        if why := _fault(one, shape.get(key, shape.get("*")), below):
            return why
    return ""
