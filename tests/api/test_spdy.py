"""SPDY/3.1 frames."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.api import spdy


class Peer:
    """The client's side: makes frames as kubectl does."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=spdy.DICTIONARY)

    def open(self, stream: int, headers: Mapping[str, str], *, fin: bool = False) -> bytes:
        words = [struct.pack(">I", len(word)) + word.encode() for pair in headers.items() for word in pair]
        text = struct.pack(">I", len(headers)) + b"".join(words)
        block = self._deflate.compress(text) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return control(spdy.SYN_STREAM, struct.pack(">IIH", stream, 0, 0) + block, spdy.FIN if fin else 0)


def control(kind: int, payload: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(payload)) + payload


def data(stream: int, payload: bytes, *, fin: bool = False) -> bytes:
    return struct.pack(">II", stream, int(fin) << 24 | len(payload)) + payload


def test_the_dictionary_is_that_of_the_specification() -> None:
    assert len(spdy.DICTIONARY) == 1423
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2  # what every SPDY/3 peer writes as its DICTID


def test_streams_open_carry_and_end() -> None:
    session, peer = spdy.Session(), Peer()
    events = list(session.feed(
        peer.open(1, {"Streamtype": "error"}, fin=True) + peer.open(3, {"streamtype": "data", "port": "80"})
        + data(3, b"abc") + data(3, b"", fin=True) + control(spdy.PING, struct.pack(">I", 7))
    ))
    assert events == [
        spdy.Opened(1, {"streamtype": "error"}, True), spdy.Opened(3, {"streamtype": "data", "port": "80"}, False),
        spdy.Data(3, b"abc", False), spdy.Data(3, b"", True), spdy.Pinged(7),
    ]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_frames_may_arrive_in_any_pieces(cuts: list[int]) -> None:
    text = Peer().open(1, {"a": "b"}) + data(1, b"hello") + control(spdy.GOAWAY, bytes(8))
    session, events = spdy.Session(), []
    for size in [*cuts, len(text)]:
        piece, text = text[:size], text[size:]
        events += list(session.feed(piece))
    assert events == [spdy.Opened(1, {"a": "b"}, False), spdy.Data(1, b"hello", False), spdy.Leaving()]


def test_a_window_binds_once_the_peer_keeps_windows() -> None:
    session = spdy.Session()
    list(session.feed(Peer().open(1, {})))
    for _ in range(4):
        session.data(1, bytes(spdy.MAX_DATA))
    assert session.room(1) == spdy.MAX_DATA
    list(session.feed(control(spdy.WINDOW_UPDATE, struct.pack(">II", 1, 100_000))))
    assert session.room(1) == 0
    list(session.feed(control(spdy.WINDOW_UPDATE, struct.pack(">II", 0, 65_537))))
    assert session.room(1) == 1


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack(">HHI", 0x8002, 1, 0), control(spdy.SYN_STREAM, b"\0"), control(spdy.SYN_STREAM, bytes(10) + b"rubbish"),
        struct.pack(">II", 1, 0xFFFFFF), Peer().open(2, {}), Peer().open(1, {"a": "b" * 100_000}),
    ],
)
def test_violations_end_the_session(frame: bytes) -> None:
    with pytest.raises(spdy.Violation):
        list(spdy.Session().feed(frame))


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    with contextlib.suppress(spdy.Violation):
        list(spdy.Session().feed(text))
