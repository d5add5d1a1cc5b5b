"""A file system of a guest, as a table: what a test wants to be found on a disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vmpod.drivers.inspection.trees import Tree


@dataclass(frozen=True)
class Entry:
    """A file, a folder or a link."""

    kind: str
    size: int = 0
    target: str = ""


class FakeVolume:
    """Files by their path; content that begins with `-> ` makes a link, folders follow from the paths."""

    def __init__(self, files: Mapping[str, str | bytes]) -> None:
        self._files = {path: said.encode() if isinstance(said, str) else said for path, said in files.items()}

    def node(self, path: str) -> Entry | None:
        """As `Volume.node`."""
        content = self._files.get(path)
        if content is None:
            is_folder = path == "/" or any(one.startswith(path.rstrip("/") + "/") for one in self._files)
            return Entry("folder") if is_folder else None
        if content.startswith(b"-> "):
            return Entry("link", len(content) - 3, content[3:].decode())
        return Entry("file", len(content))

    def content(self, path: str, most: int) -> bytes:
        """As `Volume.content`."""
        return self._files.get(path, b"")[:most]

    def names(self, path: str) -> list[str]:
        """As `Volume.names`."""
        below = path.rstrip("/") + "/"
        return sorted({one[len(below) :].partition("/")[0] for one in self._files if one.startswith(below)})


def tree(files: Mapping[str, str | bytes]) -> Tree:
    """A tree of these files."""
    return Tree(FakeVolume(files))
