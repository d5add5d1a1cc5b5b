"""The guest agent: questions that the operating system inside answers (qemu-ga's own protocol over a socket)."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

from vmpod.base.errors import Problem
from vmpod.drivers.qemu import sockets

_SENTINEL = b"\xff"
_LINE_BYTES = 4 << 20


class Agent:
    """One conversation, one question at a time; QEMU accepts one client at a time. After a failure other than
    a refusal it is of no use any more: a late answer would be taken for the next one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, path: Path, *, timeout_s: float = 3.0) -> Agent:
        """Connect and synchronise (guest-sync-delimited drops what an earlier client left unread).

        Raises Problem when no agent answers within `timeout_s` seconds.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(sock=sockets.connect(path), limit=_LINE_BYTES)
        except OSError as error:
            raise Problem("ask the guest agent", str(error), reason="NoAgent") from None
        agent = cls(reader, writer)
        try:
            await asyncio.wait_for(agent._synchronise(), timeout_s)
        except (TimeoutError, OSError, EOFError, ValueError):
            await agent.close()
            fix = "install and start qemu-guest-agent in the guest"
            raise Problem("ask the guest agent", "it does not answer", fix, "NoAgent") from None
        return agent

    async def _synchronise(self) -> None:
        number = secrets.randbelow(1 << 31)
        self._writer.write(_SENTINEL + _line("guest-sync-delimited", {"id": number}))
        await self._writer.drain()
        while True:
            await self._reader.readuntil(_SENTINEL)
            if json.loads(await self._reader.readline()).get("return") == number:
                return

    async def execute(self, command: str, timeout_s: float = 5.0, **arguments: Any) -> Any:
        """Run an agent command (`_` in names stands for `-`). Raises Problem when it fails or is late."""
        given = {key.replace("_", "-"): value for key, value in arguments.items()}
        self._writer.write(_line(command, given))
        try:
            await self._writer.drain()
            answer = json.loads(await asyncio.wait_for(self._reader.readline(), timeout_s))
        except (TimeoutError, OSError, ValueError) as error:
            why = str(error) or f"no answer within {timeout_s:g} s"
            raise Problem(f"run {command} in the guest", why, reason="NoAgent") from None
        if "error" in answer:
            raise Problem(f"run {command} in the guest", str(answer["error"].get("desc")), reason="Refused")
        return answer.get("return")

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass

    async def __aenter__(self) -> Agent:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _line(command: str, arguments: dict[str, Any]) -> bytes:
    message: dict[str, Any] = {"execute": command}
    if arguments:
        message["arguments"] = arguments
    return json.dumps(message).encode() + b"\n"
