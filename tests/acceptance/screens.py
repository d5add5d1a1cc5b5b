"""What a person at a viewer sees and types: a client of the RFB protocol (RFC 6143), and text read off a VGA screen.

A VGA card in text mode draws each character as 9 by 16 pixels. Which pixels make which letter is learned from a page
that shows all of them: the guest's own boot loader prints it.
"""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

WIDTH, HEIGHT = 9, 16
CHARACTERS = "".join(map(chr, range(32, 127)))
_PAGE = tuple(f"[{half}]" for half in (CHARACTERS[:48], CHARACTERS[48:]))
PAGE = "\r\n".join(_PAGE) + "\r\n"
RETURN, DOWN = 0xFF0D, 0xFF54
_EIGHT_BITS = struct.pack(">BBBBHHHBBB3x", 8, 8, 0, 1, 7, 7, 3, 0, 3, 6)
_RAW = 0
Glyph = bytes


@dataclass(frozen=True)
class Picture:
    """A screen at one moment, a byte for each pixel."""

    width: int
    height: int
    pixels: bytes

    def cells(self, row: int) -> list[bytes]:
        """The pixels of each character of a line."""
        lines = [self.pixels[y * self.width :][: self.width] for y in range(row * HEIGHT, (row + 1) * HEIGHT)]
        return [b"".join(line[x : x + WIDTH] for line in lines) for x in range(0, self.width - WIDTH + 1, WIDTH)]

    @property
    def rows(self) -> int:
        return self.height // HEIGHT


def _ground(cell: bytes) -> int:
    """The colour behind a character: most of its pixels have it."""
    return Counter(cell).most_common(1)[0][0]


def _glyph(cell: bytes) -> Glyph:
    ground = _ground(cell)
    return bytes(pixel != ground for pixel in cell)


def learned(picture: Picture) -> dict[Glyph, str]:
    """The letter of each glyph, from a screen that shows PAGE; empty while it does not."""
    for row in range(picture.rows - 1):
        shown = [[_glyph(cell) for cell in picture.cells(row + n)[: len(line)]] for n, line in enumerate(_PAGE)]
        pairs = list(zip("".join(_PAGE), [*shown[0], *shown[1]], strict=True))
        by_letter, by_glyph = dict(pairs), {glyph: letter for letter, glyph in pairs}
        if len(by_glyph) == len(CHARACTERS) and all(by_letter[letter] == glyph for letter, glyph in pairs):
            return by_glyph
    return {}


@dataclass
class Viewer:
    """A VNC viewer on a stream: `send` takes bytes, `receive` waits for the next ones (none: it was closed)."""

    send: Callable[[bytes], object]
    receive: Callable[[], bytes | None]
    letters: dict[Glyph, str] = field(default_factory=dict)
    width: int = 0
    height: int = 0
    _held: bytes = b""
    _pixels: bytearray = field(default_factory=bytearray)

    def open(self) -> None:
        """Greet the server; without a password, eight bits for each pixel, unpacked rectangles only."""
        assert self._take(12) == b"RFB 003.008\n"
        self.send(b"RFB 003.008\n")
        assert 1 in self._take(self._take(1)[0])
        self.send(b"\x01")
        assert self._take(4) == bytes(4)
        self.send(b"\x01")
        self.width, self.height = struct.unpack(">HH16x", self._take(20))
        self._take(struct.unpack(">I", self._take(4))[0])
        self.send(b"\0\0\0\0" + _EIGHT_BITS + struct.pack(">BxHiI", 2, 2, _RAW, 0xFFFFFF21))  # -223: a new size

    def press(self, *keys: int) -> None:
        for key in keys:
            self.send(struct.pack(">BBxxI", 4, 1, key) + struct.pack(">BBxxI", 4, 0, key))

    def look(self) -> Picture:
        """The whole screen, drawn anew."""
        self._pixels = bytearray(self.width * self.height)
        missing = self.width * self.height
        self._ask()
        while missing > 0:
            kind = self._take(1)[0]
            assert kind in (0, 2), f"message {kind} of the server"
            for _ in range(struct.unpack(">xH", self._take(3))[0] if kind == 0 else 0):
                drawn = self._rectangle()
                missing = self.width * self.height if drawn is None else missing - drawn
        return Picture(self.width, self.height, bytes(self._pixels))

    def _ask(self) -> None:
        self.send(struct.pack(">BBHHHH", 3, 0, 0, 0, self.width, self.height))

    def _rectangle(self) -> int | None:
        """Draw one; how many pixels it has, None when the screen has another size now."""
        x, y, width, height, form = struct.unpack(">HHHHi", self._take(12))
        if form != _RAW:
            self.width, self.height = width, height
            self._pixels = bytearray(width * height)
            self._ask()
            return None
        data = self._take(width * height)
        for line in range(height):
            start = (y + line) * self.width + x
            self._pixels[start : start + width] = data[line * width : (line + 1) * width]
        return int(width * height)

    def _take(self, count: int) -> bytes:
        while len(self._held) < count:
            piece = self.receive()
            assert piece is not None, "the screen was closed"
            self._held += piece
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def learn(self, timeout_s: float) -> None:
        """Wait for the page that shows every character."""
        deadline = time.monotonic() + timeout_s
        while not self.letters:
            assert time.monotonic() < deadline, "the page of characters did not come"
            self.letters = learned(self.look())
            time.sleep(0.3)

    def read(self, picture: Picture) -> list[str]:
        """The lines of a screen; what is no known character is a space."""
        lines = ("".join(self.letters.get(_glyph(cell), " ") for cell in picture.cells(row)) for row in range(picture.rows))
        return [line.rstrip() for line in lines]

    def shows(self, words: str, timeout_s: float) -> Picture:
        """The first screen that says `words`; fails when none does in time."""
        deadline = time.monotonic() + timeout_s
        while True:
            picture = self.look()
            said = "\n".join(self.read(picture))
            if words in said:
                return picture
            assert time.monotonic() < deadline, f"{words!r} is not on the screen:\n{said}"
            time.sleep(0.5)

    def behind(self, picture: Picture, words: str) -> int:
        """The colour behind words on the screen: that of a menu's chosen line differs."""
        row, line = next((row, line) for row, line in enumerate(self.read(picture)) if words in line)
        return _ground(picture.cells(row)[line.index(words)])
