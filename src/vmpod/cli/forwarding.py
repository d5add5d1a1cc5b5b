"""Connections and datagrams that arrive at ports of this host, carried to a machine: a thread each, a stream each."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from vmpod.base.errors import Problem
from vmpod.cli import bridge

if TYPE_CHECKING:
    from vmpod.client.simple import SimpleClient

_LINGER_S = 10.0  # how long the machine may still answer after a client has said its last
_DATAGRAM_BYTES = 65535
_PEERS = 256  # as many UDP clients are remembered; the oldest is forgotten for a new one


def start(client: SimpleClient, listener: socket.socket, place: str, protocol: str) -> None:
    """Carry what arrives at `listener` to the subresource at `place`, from now on, in the background."""
    work = _accept if protocol == "tcp" else _Datagrams(client, listener, place).run
    arguments: tuple[Any, ...] = (client, listener, place) if protocol == "tcp" else ()
    threading.Thread(target=work, args=arguments, daemon=True).start()


def wait() -> None:
    """Until the person has had enough."""
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return


def _accept(client: SimpleClient, listener: socket.socket, place: str) -> None:
    while True:
        caller, _ = listener.accept()
        threading.Thread(target=_carry, args=(client, caller, place), daemon=True).start()


def _carry(client: SimpleClient, caller: socket.socket, place: str) -> None:
    """One connection, to its end."""
    with caller:
        try:
            with closing(bridge.connect(client, place)) as stream:
                bridge.copy(stream, caller.fileno(), caller.fileno(), linger_s=_LINGER_S)
        except (Problem, OSError) as error:
            _complain(error)


def _complain(error: Exception) -> None:
    if not isinstance(error, BrokenPipeError | ConnectionResetError):
        click.echo(str(error), err=True)


class _Datagrams:
    """UDP: one stream for each peer, each message of it a datagram."""

    def __init__(self, client: SimpleClient, listener: socket.socket, place: str) -> None:
        self._client, self._listener, self._place = client, listener, place
        self._streams: dict[Any, bridge.Stream] = {}

    def run(self) -> None:
        while True:
            data, peer = self._listener.recvfrom(_DATAGRAM_BYTES)
            try:
                self._stream(peer).send(data)
            except (Problem, OSError) as error:
                self._forget(peer)
                _complain(error)

    def _stream(self, peer: Any) -> bridge.Stream:
        if peer not in self._streams:
            if len(self._streams) >= _PEERS:
                self._forget(next(iter(self._streams)))
            self._streams[peer] = bridge.connect(self._client, self._place)
            threading.Thread(target=self._answer, args=(peer, self._streams[peer]), daemon=True).start()
        return self._streams[peer]

    def _answer(self, peer: Any, stream: bridge.Stream) -> None:
        while (data := stream.step()) is not None:
            if data:
                self._listener.sendto(data, peer)
        self._forget(peer)

    def _forget(self, peer: Any) -> None:
        stream = self._streams.pop(peer, None)
        if stream is not None:
            stream.close()
