"""Pictures of a screen."""

from __future__ import annotations

import struct
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_from_ppm(data: bytes) -> bytes:
    """A PNG of a binary PPM picture (P6, 8 bits a colour). Raises ValueError on anything else."""
    width, height, start = _header(data)
    row = width * 3
    pixels = data[start:start + row * height]
    if len(pixels) != row * height:
        raise ValueError("the picture is cut short")
    lines = b"".join(b"\0" + pixels[n * row:(n + 1) * row] for n in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(lines, 1)) + _chunk(b"IEND", b"")


def _header(data: bytes) -> tuple[int, int, int]:
    words = data[:64].split(None, 4)
    if len(words) < 4 or words[0] != b"P6" or words[3] != b"255":
        raise ValueError("not a PPM picture with 8 bits a colour")
    start = data.index(b"255", data.index(words[2], len(words[1]) + 3)) + 4
    return int(words[1]), int(words[2]), start


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
