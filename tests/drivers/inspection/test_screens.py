"""Text read off pictures: one that QEMU made, and pictures made here with every filter of PNG."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.drivers.inspection import boottext, screens

ISOLINUX = Path(__file__).with_name("screens") / "isolinux.png"


@pytest.mark.host
def test_a_screen_in_text_mode_is_read() -> None:
    said = screens.text(ISOLINUX.read_bytes())
    assert said.splitlines()[2:] == [
        "Booting from DVD/CD...", "", "ISOLINUX 6.04 20200816 ETCD Copyright (C) 1994-2015 H. Peter Anvin et al",
        "hello from the disc", "boot:",
    ]  # fmt: skip
    assert list(boottext.stages(said.encode())) == [boottext.LOADER]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + bytes(4)


def png(rows: list[bytes], kinds: list[int]) -> bytes:
    """A grey picture whose rows are filtered as `kinds` say."""
    width, above, raw = len(rows[0]), bytes(len(rows[0])), b""
    for row, kind in zip(rows, kinds, strict=True):
        raw += bytes((kind,))
        for at, value in enumerate(row):
            left, up, corner = (row[at - 1] if at else 0), above[at], (above[at - 1] if at else 0)
            near = min((abs(left + up - corner - one), index) for index, one in enumerate((left, up, corner)))[1]
            guess = (0, left, up, (left + up) // 2, (left, up, corner)[near])[kind]
            raw += bytes(((value - guess) & 255,))
        above = row
    head = struct.pack(">IIBBBBB", width, len(rows), 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


@given(st.lists(st.tuples(st.binary(min_size=5, max_size=5), st.integers(0, 4)), min_size=1, max_size=8))
def test_every_filter(rows: list[tuple[bytes, int]]) -> None:
    found = screens.read(png([row for row, _ in rows], [kind for _, kind in rows]))
    assert found == screens.Picture(5, len(rows), [row for row, _ in rows])


@pytest.mark.parametrize("spoil", [lambda raw: raw[:20], lambda raw: raw[1:], lambda raw: raw[:-40], lambda raw: b"",
                                   lambda raw: raw[:16] + b"\xff" * 8 + raw[24:], lambda raw: raw[:28] + b"\1" + raw[29:]])  # fmt: skip
def test_what_is_no_picture_is_refused(spoil: object) -> None:
    with pytest.raises(ValueError):
        screens.read(spoil(png([bytes(range(99))] * 9, [0] * 9)))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("box login: ", ["Login"]), ("\nDebian GNU/Linux 12 box ttyS0\n\nbox login:", ["Login"]), ("Last login: Mon", []),
        ("Last login:", []), ("GNU GRUB  version 2.06", ["BootLoader"]), ("[    0.000000] Linux version 6.1", ["Kernel"]),
        ("systemd[1]: Reached target\nbox login: ", ["Init", "Login"]), ("SeaBIOS (version 1.16.2)", []),
    ],
)
def test_stages_by_what_is_said(text: str, found: list[str]) -> None:
    assert list(boottext.stages(text.encode())) == found
