"""Hives of Windows' registry, read from their bytes (Windows registry file format specification, "regf")."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_BINS = 0x1000
_DEEPEST = 4
_MOST_KEYS = 20_000
_MOST_VALUES = 2_000
_MOST_BYTES = 1 << 20
_PLAIN_NAME = 0x20
_DAMAGE = (struct.error, IndexError, UnicodeError)


class Hive:
    """A hive; what is damaged in it, or lacking, is as if it were not there."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw if raw[:4] == b"regf" else b""

    def _cell(self, offset: int) -> bytes:
        """A cell's bytes without its length; none beyond the end."""
        at = _BINS + offset
        size = abs(struct.unpack("<i", self._raw[at : at + 4])[0])
        return self._raw[at + 4 : at + min(size, _MOST_BYTES)]

    def _keys(self, listed: int, depth: int = _DEEPEST) -> Iterator[tuple[str, bytes]]:
        """The keys of a list, or of a list of lists, by their names in small letters."""
        cell = self._cell(listed)
        kind, count = cell[:2], min(struct.unpack("<H", cell[2:4])[0], _MOST_KEYS)
        step = {b"lf": 8, b"lh": 8, b"li": 4, b"ri": 4}.get(kind, 0)
        for index in range(count if step and depth else 0):
            offset = struct.unpack("<I", cell[4 + step * index : 8 + step * index])[0]
            if kind == b"ri":
                yield from self._keys(offset, depth - 1)
            elif (key := self._cell(offset))[:2] == b"nk":
                yield _name(key, 0x4C, struct.unpack("<H", key[0x48:0x4A])[0], key[2] & _PLAIN_NAME).lower(), key

    def _key(self, path: str) -> bytes:
        key = self._cell(struct.unpack("<I", self._raw[0x24:0x28])[0])
        for name in path.lower().split("\\"):
            listed = struct.unpack("<I", key[0x1C:0x20])[0]
            if key[:2] != b"nk" or not struct.unpack("<I", key[0x14:0x18])[0]:
                return b""
            key = next((found for called, found in self._keys(listed) if called == name), b"")
        return key

    def keys(self, path: str) -> list[str]:
        """The names of the keys below one, in small letters."""
        try:
            key = self._key(path)
            if key[:2] != b"nk" or not struct.unpack("<I", key[0x14:0x18])[0]:
                return []
            return [name for name, _ in self._keys(struct.unpack("<I", key[0x1C:0x20])[0])][:_MOST_KEYS]
        except _DAMAGE:
            return []

    def _value(self, path: str, name: str) -> bytes:
        key = self._key(path)
        if not key:
            return b""
        count, listed = struct.unpack("<II", key[0x24:0x2C])
        cell = self._cell(listed) if count else b""
        for index in range(min(count, _MOST_VALUES)):
            value = self._cell(struct.unpack("<I", cell[4 * index : 4 * index + 4])[0])
            length, size, data = struct.unpack("<HII", value[2:12])
            if _name(value, 0x14, length, value[0x10] & 1).lower() == name.lower():
                return value[8 : 8 + min(size & 0xFF, 4)] if size >> 31 else self._cell(data)[:size]
        return b""

    def text(self, path: str, name: str) -> str:
        """A value that is text; the texts of a list are divided by spaces. Empty when there is none."""
        try:
            return " ".join(self._value(path, name).decode("utf-16-le").split("\0")).strip()
        except _DAMAGE:
            return ""

    def number(self, path: str, name: str) -> int:
        """A value that is a number; -1 when there is none."""
        try:
            raw = self._value(path, name)
            return int(struct.unpack("<I", raw[:4])[0]) if raw else -1
        except _DAMAGE:
            return -1


def _name(cell: bytes, start: int, length: int, is_plain: int) -> str:
    raw = cell[start : start + length]
    return raw.decode("latin-1") if is_plain else raw.decode("utf-16-le", errors="replace")
