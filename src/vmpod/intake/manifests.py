"""Manifests out of files, folders and kustomizations: objects, each with where it was written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.intake import kustomize
from vmpod.intake.documents import Manifest, parse, text_of

__all__ = ["Manifest", "read"]

_ENDINGS = (".yaml", ".yml", ".json")


def read(paths: Sequence[str]) -> list[Manifest]:
    """The objects of files, folders (their *.yaml, *.yml and *.json, not deeper; like `kubectl apply -f`),
    kustomizations (a folder with a kustomization.yaml, or that file itself) and `-` for standard input, lists
    taken apart.

    Raises Problem, naming file and line, for what cannot be read, and when there is no object at all.
    """
    found = [manifest for path in paths for manifest in _read(path)]
    if not found:
        raise Problem(f"read {', '.join(paths)}", "there is no object in it", "vmpod up --help", "Empty")
    return found


def _read(path: str) -> list[Manifest]:
    if path == "-":
        return parse(sys.stdin.read(), "standard input")
    place = Path(path)
    if "://" in path:
        raise Problem(f"read {path}", "only files and folders are read, nothing is fetched from a network",
                      f"curl -fsSL {path} | vmpod up -", "Remote")  # fmt: skip
    if place.is_dir():
        return _folder(place)
    if place.name in kustomize.ROOT_FILES:
        return _built(place.parent, place)
    return parse(text_of(place), path)


def _folder(folder: Path) -> list[Manifest]:
    if (root := kustomize.root_file(folder)) is not None:
        return _built(folder, root)
    files = sorted(file for file in folder.iterdir() if file.suffix in _ENDINGS and file.is_file())
    if not files:
        raise Problem(f"read {folder}", "the folder has no *.yaml, *.yml or *.json", f"ls {folder}", "Missing")
    return [manifest for file in files for manifest in parse(text_of(file), str(file))]


def _built(folder: Path, root: Path) -> list[Manifest]:
    return [Manifest(obj, str(root)) for obj in kustomize.build(folder)]
