"""Text on the picture of a screen: letters as the VGA BIOS draws them, which Linux's console draws, too.

The letters are taken from the VGA BIOS that comes with QEMU; where that file is not found, nothing is read.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_FOLDERS = ("/usr/share/seabios", "/usr/share/qemu", "/usr/share/seavgabios", "/usr/share/qemu-kvm")
_FILES = ("vgabios-stdvga.bin", "vgabios-virtio.bin", "vgabios.bin")
_LETTER_A = bytes.fromhex("000010386cc6c6fec6c6c6c600000000")
_HEIGHT, _TEXT_MODE = 16, 720
_MOST_PIXELS = 4096 * 4096
_NEAR = 4  # so many pixels of a letter may differ


@dataclass(frozen=True)
class Picture:
    """A screen, a byte of brightness for each pixel."""

    width: int
    height: int
    rows: list[bytes]


def text(png: bytes) -> str:
    """The lines of text on a picture; empty when there are none or the letters are not known. Raises ValueError when it
    is no picture as QEMU makes them."""
    letters = _letters()
    return "\n".join(_lines(read(png), letters)).rstrip() if letters else ""


@lru_cache(1)
def _letters() -> dict[bytes, str]:
    for path in (Path(folder, name) for folder in _FOLDERS for name in _FILES):
        found = path.read_bytes() if path.is_file() else b""
        if (start := found.find(_LETTER_A) - 65 * _HEIGHT) >= 0:
            return {found[start + code * _HEIGHT :][:_HEIGHT]: chr(code) for code in range(126, 31, -1)}
    return {}


def _lines(picture: Picture, letters: dict[bytes, str]) -> Iterator[str]:
    near = lru_cache(4096)(lambda glyph: _nearest(glyph, letters))
    width = 9 if picture.width == _TEXT_MODE else 8
    for top in range(0, picture.height - _HEIGHT + 1, _HEIGHT):
        rows = picture.rows[top : top + _HEIGHT]
        cells = range(0, picture.width - 7, width)
        yield "".join(near(_glyph([row[x : x + 8] for row in rows])) for x in cells).rstrip()


def _glyph(cell: list[bytes]) -> bytes:
    """A byte for each line of a cell, a bit for each pixel that is not of the commonest colour."""
    whole = b"".join(cell)
    if whole.count(whole[0]) == len(whole):
        return bytes(len(cell))
    ground = Counter(whole).most_common(1)[0][0]
    return bytes(sum((pixel != ground) << (7 - index) for index, pixel in enumerate(row)) for row in cell)


def _nearest(glyph: bytes, letters: dict[bytes, str]) -> str:
    if known := letters.get(glyph):
        return known
    said = int.from_bytes(glyph, "big")
    far, found = min(((said ^ int.from_bytes(one, "big")).bit_count(), letter) for one, letter in letters.items())
    return found if far <= _NEAR else " "


def read(png: bytes) -> Picture:
    """A picture of 8-bit colours (PNG specification, 3rd edition: 11 "Chunk specifications", 9 "Filtering").
    Raises ValueError when it is another."""
    width, height, depth, kind, *_, interlaced = struct.unpack(">IIBBBBB", png[16:29].ljust(13, b"\0"))
    wide = {0: 1, 2: 3, 6: 4}.get(kind, 0)
    if not png.startswith(b"\x89PNG") or depth != 8 or not wide or interlaced or width * height > _MOST_PIXELS:
        raise ValueError("no picture of 8-bit colours")
    length = (width * wide + 1) * height
    try:
        raw = zlib.decompressobj().decompress(b"".join(_data(png)), length)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(raw) < length:
        raise ValueError("the picture ends early")
    lines = _unfiltered(raw, width * wide, height, wide)
    return Picture(width, height, [bytes(line[min(1, wide - 1) :: wide]) for line in lines])


def _data(png: bytes) -> Iterator[bytes]:
    at = 8
    while at + 8 <= len(png):
        length, name = struct.unpack(">I4s", png[at : at + 8])
        if name == b"IDAT":
            yield png[at + 8 : at + 8 + length]
        at += 12 + length


def _unfiltered(raw: bytes, width: int, height: int, wide: int) -> Iterator[bytearray]:
    above = bytearray(width)
    for number in range(height):
        start = number * (width + 1)
        line = bytearray(raw[start + 1 : start + 1 + width])
        _unfilter(raw[start], line, above, wide)
        yield line
        above = line


def _unfilter(kind: int, line: bytearray, above: bytearray, wide: int) -> None:
    if kind == 2 and not any(line):
        line[:] = above
    elif kind == 1 and any(line):
        for at in range(wide, len(line)):
            line[at] = (line[at] + line[at - wide]) & 255
    elif kind in (2, 3, 4):
        guess = {2: lambda left, up, corner: up, 3: lambda left, up, corner: (left + up) >> 1, 4: _paeth}[kind]
        for at in range(len(line)):
            left, corner = (line[at - wide], above[at - wide]) if at >= wide else (0, 0)
            line[at] = (line[at] + guess(left, above[at], corner)) & 255


def _paeth(left: int, up: int, corner: int) -> int:
    a, b, c = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    return left if a <= b and a <= c else up if b <= c else corner
