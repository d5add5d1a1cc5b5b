"""Pictures."""

from __future__ import annotations

import struct
import zlib

import pytest

from vmpod.drivers.qemu.screen import png_from_ppm


def test_png_holds_the_same_pixels() -> None:
    pixels = bytes(range(18))
    png = png_from_ppm(b"P6\n3 2\n255\n" + pixels)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", png[16:24]) == (3, 2)
    size = struct.unpack(">I", png[33:37])[0]
    assert zlib.decompress(png[41:41 + size]) == b"\0" + pixels[:9] + b"\0" + pixels[9:]


@pytest.mark.parametrize("data", [b"", b"P5\n1 1\n255\nx", b"P6\n3 2\n255\nshort", b"P6\n1 1\n65535\n" + b"x" * 6])
def test_other_pictures_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="picture"):
        png_from_ppm(data)
