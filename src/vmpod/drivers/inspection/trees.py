"""Files of a file system that is not mounted: found by path, with links followed inside it and never outside."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any, Protocol

import pytsk3

from vmpod.drivers.inspection.blocks import Blocks

_MOST_LINKS = 40  # as Linux
_MOST_BYTES = 256 << 20
_MOST_NAMES = 20_000
_NO_FILE = "(Volume Label Entry)"  # how the Sleuth Kit lists a FAT label
READ_BY_TSK = ("ext2", "ext3", "ext4", "ntfs", "vfat", "iso9660")


class Node(Protocol):
    """A file: `kind` is file, folder, link or other, `target` where a link leads."""

    @property
    def kind(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def target(self) -> str: ...


class Volume(Protocol):
    """One file system: nodes by path without links in it, their content and, of folders, the names in them."""

    def node(self, path: str) -> Node | None:
        """The file at an absolute path, none of whose folders is a link."""
        ...

    def content(self, path: str, most: int) -> bytes:
        """The first `most` bytes of a file."""
        ...

    def names(self, path: str) -> list[str]:
        """The names in a folder."""
        ...


class Tree:
    """The files of a guest: a root file system and others mounted into it."""

    def __init__(self, root: Volume, mounted: dict[str, Volume] | None = None) -> None:
        self._volumes = {"/": root, **(mounted or {})}

    def _place(self, path: str) -> tuple[Volume, str]:
        at = max((place for place in self._volumes if _is_below(path, place)), key=len)
        return self._volumes[at], "/" + path[len(at) :].lstrip("/")

    def resolve(self, path: str, *, last: bool = True) -> str:
        """The path with every link followed (`last`: also when the path itself is one); empty when it leads nowhere."""
        parts, done, links = path.strip("/").split("/"), "/", 0
        while parts:
            name = parts.pop(0)
            if name in ("", "."):
                continue
            if name == "..":
                done = posixpath.dirname(done)
                continue
            here = posixpath.join(done, name)
            volume, inner = self._place(here)
            found = volume.node(inner)
            if found is None:
                return ""
            if found.kind == "link" and (parts or last):
                links += 1
                if links > _MOST_LINKS:
                    return ""
                parts = found.target.strip("/").split("/") + parts
                done = "/" if found.target.startswith("/") else done
            else:
                done = here
        return done

    def exists(self, path: str) -> bool:
        """Whether something is there, links followed."""
        return bool(self.resolve(path))

    def link(self, path: str) -> str:
        """Where the link at `path` leads, as written; empty when it is none."""
        where = self.resolve(path, last=False)
        found = self._node(where) if where else None
        return found.target if found and found.kind == "link" else ""

    def _node(self, where: str) -> Node | None:
        volume, inner = self._place(where)
        return volume.node(inner)

    def read(self, path: str, most: int = 1 << 20) -> bytes:
        """A file's first `most` bytes; empty when there is none."""
        where = self.resolve(path)
        found = self._node(where) if where else None
        if found is None or found.kind != "file":
            return b""
        volume, inner = self._place(where)
        return volume.content(inner, min(most, found.size, _MOST_BYTES))

    def text(self, path: str) -> str:
        """A file as text."""
        return self.read(path).decode(errors="replace")

    def size(self, path: str) -> int:
        """A file's length in bytes; 0 when there is none."""
        where = self.resolve(path)
        found = self._node(where) if where else None
        return found.size if found else 0

    def names(self, path: str) -> list[str]:
        """The names in a folder, sorted; none when there is no folder."""
        where = self.resolve(path)
        found = self._node(where) if where else None
        if found is None or found.kind != "folder":
            return []
        volume, inner = self._place(where)
        return sorted(volume.names(inner))[:_MOST_NAMES]

    def below(self, path: str, depth: int = 3) -> Iterator[str]:
        """Every file below a folder, at most `depth` folders deep; links are not entered."""
        for name in self.names(path):
            here = posixpath.join(path, name)
            where = self.resolve(here, last=False)
            found = self._node(where) if where else None
            if found is None:
                continue
            if found.kind == "folder":
                yield from self.below(here, depth - 1) if depth else ()
            else:
                yield here


def _is_below(path: str, place: str) -> bool:
    return place == "/" or path == place or path.startswith(place + "/")


class _Image(pytsk3.Img_Info):  # type: ignore[misc]
    """The Sleuth Kit's view of blocks of ours."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        super().__init__(url="", type=pytsk3.TSK_IMG_TYPE_EXTERNAL)

    def read(self, offset: int, size: int) -> bytes:
        return self._blocks.read(offset, size)

    def get_size(self) -> int:
        return self._blocks.size


class _File:
    def __init__(self, meta: Any, target: str) -> None:
        kinds = {pytsk3.TSK_FS_META_TYPE_REG: "file", pytsk3.TSK_FS_META_TYPE_DIR: "folder",
                 pytsk3.TSK_FS_META_TYPE_LNK: "link"}  # fmt: skip
        self.kind = kinds.get(meta.type, "other")
        self.size = int(meta.size)
        self.target = target


class Sleuth:
    """A file system that the Sleuth Kit reads. Raises OSError when it cannot."""

    def __init__(self, blocks: Blocks) -> None:
        self._image = _Image(blocks)
        self._system = pytsk3.FS_Info(self._image)

    def node(self, path: str) -> _File | None:
        """As `Volume.node`."""
        try:
            found = self._system.open(path)
        except OSError:
            return None
        meta = found.info.meta
        if meta is None:
            return None
        link = meta.link if meta.type == pytsk3.TSK_FS_META_TYPE_LNK else None
        return _File(meta, (link or b"").decode(errors="replace") if isinstance(link, bytes) else str(link or ""))

    def content(self, path: str, most: int) -> bytes:
        """As `Volume.content`."""
        try:
            found = self._system.open(path)
            return bytes(found.read_random(0, most)) if most else b""
        except OSError:
            return b""

    def names(self, path: str) -> list[str]:
        """As `Volume.names`."""
        try:
            entries = [entry.info.name for entry in self._system.open_dir(path)]
        except OSError:
            return []
        gone = int(pytsk3.TSK_FS_NAME_FLAG_UNALLOC)
        live = [entry.name for entry in entries if entry and not int(entry.flags) & gone]
        names = [name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in live]
        return [name for name in names if name not in (".", "..") and not name.startswith("$")
                and not name.endswith(_NO_FILE)]  # fmt: skip
