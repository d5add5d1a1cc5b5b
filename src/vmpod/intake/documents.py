"""Text out of files and objects out of text, each with where it was written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.model.meta import Object
from vmpod.model.yaml import load_all


@dataclass(frozen=True)
class Manifest:
    """One object and the place it comes from, as `FILE:LINE`."""

    obj: Object
    source: str


def text_of(file: Path) -> str:
    """What a text file holds. Raises Problem."""
    try:
        return file.read_text()
    except UnicodeDecodeError:
        raise Problem(f"read {file}", "it is not text", f"file {file}", "Format") from None
    except OSError as error:
        raise unreadable(file, error) from None


def unreadable(file: Path, error: OSError) -> Problem:
    """The Problem of a file that cannot be opened."""
    return Problem(f"read {file}", error.strerror or str(error), f"ls -l {file}", "Missing")


def parse(text: str, source: str) -> list[Manifest]:
    """The objects of a YAML or JSON stream, lists taken apart. Raises Problem, naming file and line."""
    found = [Manifest(document.obj, f"{source}:{document.line}") for document in load_all(text, source)]
    return [manifest for one in found for manifest in _apart(one)]


def _apart(manifest: Manifest) -> Iterable[Manifest]:
    obj = manifest.obj
    if not str(obj.get("kind", "")).endswith("List") or not isinstance(obj.get("items"), list):
        yield manifest
        return
    for item in obj["items"]:
        if not isinstance(item, dict):
            raise Problem(f"read {manifest.source}", "an item of the list is no object", reason="Unreadable")
        yield Manifest(item, manifest.source)
