"""What the API asks of whoever runs pods and machines: byte streams, and answers that are not objects.

These two Protocols are the only road besides objects; the node agent satisfies them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from vmpod.model import status

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2
ERROR: Final = 3
RESIZE: Final = 4


@dataclass(frozen=True)
class StreamRef:
    """The object that a stream belongs to; `resource` as in REST paths: "pods"."""

    resource: str
    namespace: str
    name: str


class Duplex(Protocol):
    """A two-way stream of numbered channels, numbered as in v5.channel.k8s.io.

    The API sends 0 (stdin; empty bytes end it) and 4 (terminal size as JSON `{"Width":…,"Height":…}`), it
    receives 1 (stdout), 2 (stderr) and 3 (a Status as JSON, last). Logs, consoles and forwarded ports use 0 and 1.
    """

    async def receive(self) -> tuple[int, bytes] | None:
        """The next bytes and their channel; None when the other side has ended."""
        ...

    async def send(self, channel: int, data: bytes) -> None:
        """Waits until the other side takes the bytes."""
        ...

    async def close(self) -> None:
        """Ends both directions; may be called twice."""
        ...


class Streams(Protocol):
    """Who opens streams to what runs. Failures are ApiErrors, raised before the first byte."""

    async def open(self, ref: StreamRef, verb: str, params: Mapping[str, Any]) -> Duplex:
        """A stream: pods exec, attach, log, portforward; virtualmachineinstances console, vnc, portforward."""
        ...

    async def ask(self, ref: StreamRef, verb: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """One answer: pause, unpause, softreboot, reset, freeze, unfreeze, guestosinfo, userlist, filesystemlist,
        screenshot (`data` bytes, `contentType`).
        """
        ...


class NoStreams:
    """Stands in while no node agent runs: everything is refused."""

    async def open(self, ref: StreamRef, verb: str, params: Mapping[str, Any]) -> Duplex:
        raise status.unavailable(f"no node runs {ref.resource} {ref.namespace}/{ref.name}")

    async def ask(self, ref: StreamRef, verb: str, params: Mapping[str, Any]) -> dict[str, Any]:
        raise status.unavailable(f"no node runs {ref.resource} {ref.namespace}/{ref.name}")
