"""LZO1X, unpacked (Linux: Documentation/staging/lzo.rst), and the frame that btrfs puts around it."""

from __future__ import annotations

import struct

_AFTER_LITERALS = 4
_END = 16384


class _Input:
    """Bytes that are read one by one. Raises IndexError at the end."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def byte(self) -> int:
        self._at += 1
        return self._raw[self._at - 1]

    def word(self) -> int:
        return self.byte() | self.byte() << 8

    def take(self, count: int) -> bytes:
        self._at += count
        if self._at > len(self._raw):
            raise IndexError("the input ends early")
        return self._raw[self._at - count : self._at]

    def length(self, said: int, most: int) -> int:
        """A length that, when it is 0, goes on in the next bytes: 255 for each zero, and the first that is none."""
        if said:
            return said
        while (more := self.byte()) == 0:
            most += 255
        return most + more


def unpack(raw: bytes, most: int) -> bytes:
    """At most `most` bytes of a stream. Raises ValueError or IndexError when it is damaged."""
    source, out, state = _Input(raw), bytearray(), 0
    if raw[:1] > b"\x11":
        count = source.byte() - 17
        out += source.take(count)
        state = min(count, _AFTER_LITERALS)
    while len(out) < most:
        code = source.byte()
        if code < 16 and state == 0:
            out += source.take(source.length(code, 15) + 3)
            state = _AFTER_LITERALS
            continue
        length, distance, state = _match(source, code, state)
        if distance == _END and 16 <= code < 32:
            break
        _copy(out, min(length, most - len(out)), distance)
        out += source.take(state)
    return bytes(out[:most])


def _match(source: _Input, code: int, state: int) -> tuple[int, int, int]:
    """How much is repeated, from how far back, and how many plain bytes follow."""
    if code < 16:
        length, base = (3, 2049) if state == _AFTER_LITERALS else (2, 1)
        return length, (source.byte() << 2) + (code >> 2) + base, code & 3
    if code >= 64:
        length = 5 + (code >> 5 & 3) if code >= 128 else 3 + (code >> 5 & 1)
        return length, (source.byte() << 3) + (code >> 2 & 7) + 1, code & 3
    if code >= 32:
        length = source.length(code & 31, 31) + 2
        said = source.word()
        return length, (said >> 2) + 1, said & 3
    length = source.length(code & 7, 7) + 2
    said = source.word()
    return length, _END + ((code & 8) << 11) + (said >> 2), said & 3


def _copy(out: bytearray, length: int, distance: int) -> None:
    if distance > len(out):
        raise ValueError("a repetition begins before the output")
    start = len(out) - distance
    while length > 0:  # what is repeated may be part of the repetition
        piece = out[start : start + min(length, len(out) - start)]
        out += piece
        length -= len(piece)


def unpack_btrfs(raw: bytes, sector: int, most: int) -> bytes:
    """An extent of btrfs: its length, then pieces of a sector each, none of whose heads lies across two sectors."""
    end, at, found = min(struct.unpack("<I", raw[:4])[0], len(raw)), 4, b""
    while at < end and len(found) < most:
        left = sector - at % sector
        at += left if left < 4 else 0
        size = struct.unpack("<I", raw[at : at + 4])[0]
        found += unpack(raw[at + 4 : at + 4 + size], min(sector, most - len(found)))
        at += 4 + size
    return found
