"""SPDY/3.1 frames, without any I/O: bytes in, events out, and frames to send.

kubectl forwards ports in SPDY streams, inside a WebSocket since 1.30. After draft-mbelshe-httpbis-spdy-00 (version 3)
and its 3.1 addition, flow control of the session. moby/spdystream, which kubectl uses, never sends WINDOW_UPDATE: a
window binds us only once the peer has shown that it keeps windows.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

SYN_STREAM: Final = 1
SYN_REPLY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PING: Final = 6
GOAWAY: Final = 7
HEADERS: Final = 8
WINDOW_UPDATE: Final = 9

FIN: Final = 0x01
_SETTINGS_INITIAL_WINDOW: Final = 7
_VERSION: Final = 3
_HEAD_BYTES: Final = 8
_WINDOW: Final = 64 << 10
_MAX_FRAME: Final = 1 << 20
_MAX_HEADERS: Final = 64 << 10
MAX_DATA: Final = 32 << 10
_MAX_STREAMS: Final = 1000

# The words of §2.6.10.1, each behind its length as 32 bits, then the text that has none.
_WORDS: Final = (  # noqa: SIM905 - as prose they can be compared with the specification
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
).split()
_PAIRS: Final = ("200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_TEXT: Final = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY: Final = b"".join(
    struct.pack(">I", len(word)) + word.encode() for word in (*_WORDS, *_PAIRS)
) + _TEXT.encode()


class Violation(Exception):
    """The peer broke the protocol; the session is over."""


@dataclass(frozen=True)
class Opened:
    """A stream that the peer opened; header names are in lower case."""

    stream: int
    headers: Mapping[str, str]
    fin: bool


@dataclass(frozen=True)
class Data:
    """Bytes of a stream, `fin` when they are the last in this direction."""

    stream: int
    data: bytes
    fin: bool


@dataclass(frozen=True)
class Reset:
    """A stream that the peer gave up."""

    stream: int


@dataclass(frozen=True)
class Pinged:
    """A ping that wants to be sent back."""

    id: int


@dataclass(frozen=True)
class Widened:
    """The peer takes more bytes again; of one stream, or of all (0)."""

    stream: int


@dataclass(frozen=True)
class Leaving:
    """The peer opens no more streams."""


Event = Opened | Data | Reset | Pinged | Widened | Leaving


class Session:
    """The server's side of one connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._windows: dict[int, int] = {}
        self._session_window = _WINDOW
        self._initial_window = _WINDOW
        self._keeps_windows = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events in some more bytes. Raises Violation."""
        self._buffer += data
        while (frame := self._next_frame()) is not None:
            first, second, payload = frame
            event = self._control(first, second, payload) if first >> 31 else self._data(first, second, payload)
            if event is not None:
                yield event

    def _next_frame(self) -> tuple[int, int, bytes] | None:
        if len(self._buffer) < _HEAD_BYTES:
            return None
        first, second = struct.unpack_from(">II", self._buffer)
        length = second & 0xFFFFFF
        if length > _MAX_FRAME:
            raise Violation(f"a frame of {length} bytes is too large")
        if len(self._buffer) < _HEAD_BYTES + length:
            return None
        payload = bytes(self._buffer[_HEAD_BYTES : _HEAD_BYTES + length])
        del self._buffer[: _HEAD_BYTES + length]
        return first, second >> 24, payload

    def _data(self, stream: int, flags: int, payload: bytes) -> Event | None:
        return Data(stream, payload, bool(flags & FIN))

    def _control(self, first: int, flags: int, payload: bytes) -> Event | None:
        if (first >> 16) & 0x7FFF != _VERSION:
            raise Violation(f"version {(first >> 16) & 0x7FFF} is not spoken")
        try:
            return self._control_of(first & 0xFFFF, flags, payload)
        except (struct.error, zlib.error, UnicodeDecodeError) as fault:
            raise Violation(f"a broken frame: {fault}") from None

    def _control_of(self, kind: int, flags: int, payload: bytes) -> Event | None:
        match kind:
            case 1:
                return self._opened(flags, payload)
            case 2 | 8:  # headers that tell us nothing; the compression context needs them all the same
                self._read_headers(payload[4:])
                return None
            case 3:
                return Reset(struct.unpack_from(">I", payload)[0] & 0x7FFFFFFF)
            case 4:
                self._settings(payload)
                return None
            case 6:
                return Pinged(struct.unpack(">I", payload)[0])
            case 7:
                return Leaving()
            case 9:
                return self._widened(*struct.unpack(">II", payload))
            case _:
                return None

    def _opened(self, flags: int, payload: bytes) -> Event:
        stream = struct.unpack_from(">I", payload)[0] & 0x7FFFFFFF
        headers = self._read_headers(payload[10:])
        if stream % 2 == 0 or stream in self._windows:
            raise Violation(f"stream {stream} cannot be opened")
        if len(self._windows) >= _MAX_STREAMS:
            raise Violation(f"more than {_MAX_STREAMS} streams")
        self._windows[stream] = self._initial_window
        return Opened(stream, headers, bool(flags & FIN))

    def _read_headers(self, block: bytes) -> dict[str, str]:
        text = self._inflate.decompress(block, _MAX_HEADERS)
        if self._inflate.unconsumed_tail:
            raise Violation("headers are too large")
        (count,), at, found = struct.unpack_from(">I", text), 4, {}
        for _ in range(count):
            name, at = _read_text(text, at)
            value, at = _read_text(text, at)
            found[name.lower()] = value
        return found

    def _settings(self, payload: bytes) -> None:
        (count,) = struct.unpack_from(">I", payload)
        for position in range(count):
            head, value = struct.unpack_from(">II", payload, 4 + 8 * position)
            if head & 0xFFFFFF == _SETTINGS_INITIAL_WINDOW:
                self._initial_window = value

    def _widened(self, stream: int, delta: int) -> Event:
        self._keeps_windows = True
        stream &= 0x7FFFFFFF
        if stream == 0:
            self._session_window += delta & 0x7FFFFFFF
        elif stream in self._windows:
            self._windows[stream] += delta & 0x7FFFFFFF
        return Widened(stream)

    def room(self, stream: int) -> int:
        """How many bytes may be sent on a stream now."""
        if not self._keeps_windows:
            return MAX_DATA
        return max(0, min(MAX_DATA, self._windows.get(stream, 0), self._session_window))

    def reply(self, stream: int) -> bytes:
        """SYN_REPLY: the stream is accepted."""
        return self._frame(SYN_REPLY, struct.pack(">I", stream) + self._write_headers({}))

    def data(self, stream: int, data: bytes, *, fin: bool = False) -> bytes:
        """A data frame; at most `room(stream)` bytes."""
        if stream in self._windows:
            self._windows[stream] -= len(data)
        self._session_window -= len(data)
        return struct.pack(">II", stream, (FIN if fin else 0) << 24 | len(data)) + data

    def consumed(self, stream: int, count: int) -> bytes:
        """WINDOW_UPDATE for the stream and the session: we have taken the bytes."""
        return b"".join(self._frame(WINDOW_UPDATE, struct.pack(">II", which, count)) for which in (stream, 0))

    def reset(self, stream: int, code: int = 5) -> bytes:
        """RST_STREAM; 5 is CANCEL."""
        self.forget(stream)
        return self._frame(RST_STREAM, struct.pack(">II", stream, code))

    def pong(self, id: int) -> bytes:
        """The answer to a ping."""
        return self._frame(PING, struct.pack(">I", id))

    def goaway(self, last: int = 0) -> bytes:
        """No stream after `last` was looked at."""
        return self._frame(GOAWAY, struct.pack(">II", last, 0))

    def forget(self, stream: int) -> None:
        """A stream has ended in both directions."""
        self._windows.pop(stream, None)

    def _write_headers(self, headers: Mapping[str, str]) -> bytes:
        text = struct.pack(">I", len(headers)) + b"".join(
            struct.pack(">I", len(word)) + word.encode() for pair in headers.items() for word in pair
        )
        return self._deflate.compress(text) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def _frame(self, kind: int, payload: bytes, flags: int = 0) -> bytes:
        return struct.pack(">HHI", 0x8000 | _VERSION, kind, flags << 24 | len(payload)) + payload


def _read_text(text: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">I", text, at)
    end = at + 4 + length
    if end > len(text):
        raise Violation("headers end too early")
    return text[at + 4 : end].decode(), end
