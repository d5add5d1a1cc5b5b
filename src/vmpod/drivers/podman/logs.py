"""What a container printed: the k8s-file that its monitor (conmon) writes, read where it lies.

Each line is `TIME STREAM P|F TEXT`; P marks a piece whose line goes on in the next entry of the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from vmpod.base import clock
from vmpod.base.files import open_plain

_BLOCK_BYTES = 64 * 1024
_POLL_S = 0.1


@dataclass(frozen=True)
class Entry:
    """One printed piece. `text` ends with a newline unless the line goes on. `time` is as written."""

    time: str
    stream: str
    text: bytes


@dataclass(frozen=True)
class Wanted:
    """Which part of a log: the last `tail` lines, entries from `since` on, at most `limit_bytes` bytes."""

    tail: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    follow: bool = False
    limit_bytes: int | None = None
    stream: str = ""


def parse_entry(line: bytes) -> Entry | None:
    """An entry from one line of the file; None for a line that conmon did not finish writing."""
    parts = line.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 4 or parts[2] not in (b"F", b"P"):
        return None
    end = b"\n" if parts[2] == b"F" else b""
    return Entry(parts[0].decode(errors="replace"), parts[1].decode(errors="replace"), parts[3] + end)


def tail_offset(path: Path, lines: int) -> int:
    """Where the last `lines` printed lines begin; a line is counted at its F entry. 0 is the beginning."""
    if lines <= 0:
        return path.stat().st_size
    with open_plain(path) as file:
        position = file.seek(0, 2)
        rest, found = b"", 0
        while position > 0:
            size = min(_BLOCK_BYTES, position)
            position -= size
            file.seek(position)
            block = file.read(size) + rest
            first = block.find(b"\n") + 1 if position else 0
            if position and not first:
                rest = block
                continue
            offset = position + len(block)
            for line in reversed(block[first:].splitlines(keepends=True)):
                entry = parse_entry(line)
                if entry is not None and entry.text.endswith(b"\n"):
                    found += 1
                    if found > lines:
                        return offset
                offset -= len(line)
            rest = block[:first]
    return 0


def _entries(data: bytes) -> Iterator[Entry]:
    for line in data.splitlines(keepends=True):
        entry = parse_entry(line)
        if entry is not None:
            yield entry


class Rendering:
    """Turns entries into what the reader wants to see; remembers where lines began and what was sent."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._open: set[str] = set()
        self._left = wanted.limit_bytes

    @property
    def is_full(self) -> bool:
        return self._left is not None and self._left <= 0

    def render(self, entry: Entry) -> bytes:
        """The bytes to show for one entry, empty when it is not wanted."""
        if self._wanted.stream and entry.stream != self._wanted.stream:
            return b""
        if self._wanted.since is not None and clock.parse(entry.time) < self._wanted.since:
            return b""
        starts_line = entry.stream not in self._open
        (self._open.discard if entry.text.endswith(b"\n") else self._open.add)(entry.stream)
        shown = entry.text
        if self._wanted.timestamps and starts_line:
            shown = _zulu(entry.time).encode() + b" " + shown
        if self._left is not None:
            shown = shown[: self._left]
            self._left -= len(shown)
        return shown


def _zulu(time: str) -> str:
    """Kubernetes prints UTC as Z."""
    return time.removesuffix("+00:00") + "Z" if time.endswith("+00:00") else time


async def read(path: Path, wanted: Wanted, is_running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """What the log holds, then with `follow` what comes, until the container has ended.

    Nothing for a log that does not exist (yet); a file that was cut is read from its beginning.
    """
    while not path.exists():
        if not wanted.follow or not is_running():
            return
        await asyncio.sleep(_POLL_S)
    rendering = Rendering(wanted)
    with open_plain(path) as file:
        if wanted.tail is not None:
            file.seek(tail_offset(path, wanted.tail))
        pending = b""
        while True:
            alive = wanted.follow and is_running()
            data = file.read(_BLOCK_BYTES)
            whole, newline, pending = (pending + data).rpartition(b"\n")
            shown = b"".join(rendering.render(entry) for entry in _entries(whole + newline))
            if shown:
                yield shown
            if rendering.is_full or (not data and not alive):
                return
            if not data:
                if path.exists() and path.stat().st_size < file.tell():
                    file.seek(0)
                await asyncio.sleep(_POLL_S)


async def read_plain(path: Path, wanted: Wanted, is_running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """A text file that another program writes: only `tail`, `follow` and `limit_bytes` mean something."""
    left = wanted.limit_bytes
    if not path.exists():
        return
    with open_plain(path) as file:
        if wanted.tail is not None:
            file.seek(_plain_tail(path, wanted.tail))
        while left is None or left > 0:
            alive = wanted.follow and is_running()
            data = file.read(_BLOCK_BYTES if left is None else min(left, _BLOCK_BYTES))
            if data:
                left = None if left is None else left - len(data)
                yield data
            elif not alive:
                return
            else:
                await asyncio.sleep(_POLL_S)


def _plain_tail(path: Path, lines: int) -> int:
    with open_plain(path) as file:
        position = size = file.seek(0, 2)
        found, wanted = 0, lines
        while position > 0 and wanted > 0:
            step = min(_BLOCK_BYTES, position)
            position -= step
            file.seek(position)
            block = file.read(step)
            for index in range(len(block) - 1, -1, -1):
                if block[index] == 0x0A and position + index != size - 1:
                    found += 1
                    if found == wanted:
                        return position + index + 1
        return 0 if wanted > 0 else size
