"""Two-way streams to containers, in the channels of v5.channel.k8s.io (0 in, 1 out, 2 err, 3 status, 4 size)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson

from vmpod.base.errors import Problem
from vmpod.drivers.podman.session import Session

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
_PIECE_BYTES = 64 * 1024
_SUCCESS: dict[str, object] = {"metadata": {}, "status": "Success"}


class SessionDuplex:
    """An exec or attach. `tells_code`: an exec ends with its exit code, an attach does not."""

    def __init__(self, session: Session, *, tells_code: bool) -> None:
        self._session = session
        self._tells_code = tells_code
        self._ended = False

    async def receive(self) -> tuple[int, bytes] | None:
        """Output as it comes, then one Status, then None."""
        if self._ended:
            return None
        piece = await self._session.read()
        if piece is not None:
            return piece
        self._ended = True
        return ERROR, orjson.dumps(await self._status())

    async def _status(self) -> dict[str, object]:
        if not self._tells_code:
            return _SUCCESS
        try:
            code = await self._session.exit_code()
        except Problem as problem:
            said = {"reason": "InternalError", "message": str(problem), "code": 500}
            return {"metadata": {}, "status": "Failure", **said}
        return exit_status(code)

    async def send(self, channel: int, data: bytes) -> None:
        if channel == STDIN:
            await (self._session.write(data) if data else self._session.end_input())
        elif channel == RESIZE and data:
            size = orjson.loads(data)
            await self._session.resize(int(size.get("Width") or 0), int(size.get("Height") or 0))

    async def close(self) -> None:
        self._ended = True
        await self._session.close()


def exit_status(code: int) -> dict[str, object]:
    """The Status that ends an exec, as the kubelet writes it (remotecommand's NonZeroExitCodeReason)."""
    if code == 0:
        return _SUCCESS
    return {
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }  # fmt: skip


class LogDuplex:
    """A log: only what comes out."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces

    async def receive(self) -> tuple[int, bytes] | None:
        try:
            return STDOUT, await anext(self._pieces)
        except StopAsyncIteration:
            return None

    async def send(self, channel: int, data: bytes) -> None:
        return None

    async def close(self) -> None:
        end = getattr(self._pieces, "aclose", None)
        if end is not None:
            try:
                await end()
            except RuntimeError:  # it is waiting for its next piece, and its reader is being cancelled
                pass


class ConnectionDuplex:
    """A stream connection: a forwarded port, or a socket of a machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> tuple[int, bytes] | None:
        try:
            data = await self._reader.read(_PIECE_BYTES)
        except OSError:
            return None
        return (STDOUT, data) if data else None

    async def send(self, channel: int, data: bytes) -> None:
        if channel != STDIN or self._writer.is_closing():
            return
        try:
            if data:
                self._writer.write(data)
                await self._writer.drain()
            elif self._writer.can_write_eof():
                self._writer.write_eof()
        except OSError:
            pass

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass
