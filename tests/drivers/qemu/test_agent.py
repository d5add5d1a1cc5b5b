"""The guest agent's protocol, against a small agent of our own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from vmpod.base.errors import Problem
from vmpod.drivers.qemu.agent import Agent

ANSWERS: dict[str, Any] = {
    "guest-info": {"return": {"version": "7.2"}},
    "guest-get-users": {"error": {"class": "CommandNotFound", "desc": "The command guest-get-users has been disabled"}},
}


class Guest:
    """Answers like qemu-ga; `rubbish` is what an earlier client left unread."""

    def __init__(self, rubbish: bytes = b"") -> None:
        self.rubbish = rubbish
        self.heard: list[dict[str, Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.rubbish)
        while line := await reader.readline():
            said = json.loads(line.lstrip(b"\xff"))
            self.heard.append(said)
            if said["execute"] == "guest-sync-delimited":
                writer.write(b"\xff" + json.dumps({"return": said["arguments"]["id"]}).encode() + b"\n")
            elif said["execute"] in ANSWERS:
                writer.write(json.dumps(ANSWERS[said["execute"]]).encode() + b"\n")
        writer.close()


@pytest.fixture
async def guest(tmp_path: Path) -> AsyncIterator[Guest]:
    guest = Guest(b'{"return": {"old": 1}}\n')
    server = await asyncio.start_unix_server(guest.serve, tmp_path / "agent.sock")
    yield guest
    server.close()
    await server.wait_closed()


async def test_old_answers_are_dropped(guest: Guest, tmp_path: Path) -> None:
    async with await Agent.connect(tmp_path / "agent.sock") as agent:
        assert await agent.execute("guest-info") == {"version": "7.2"}


async def test_refusal_and_silence(guest: Guest, tmp_path: Path) -> None:
    async with await Agent.connect(tmp_path / "agent.sock") as agent:
        with pytest.raises(Problem, match="has been disabled") as refused:
            await agent.execute("guest-get-users")
        assert refused.value.reason == "Refused"
        with pytest.raises(Problem, match=r"no answer within 0\.1 s"):
            await agent.execute("guest-nothing", 0.1, some_name=1)
    assert guest.heard[2:] == [{"execute": "guest-nothing", "arguments": {"some-name": 1}}]


async def test_no_agent_in_the_guest(tmp_path: Path) -> None:
    """QEMU accepts the connection whether or not anybody listens inside."""
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_unix_server(lambda _, writer: held.append(writer), tmp_path / "agent.sock")
    with pytest.raises(Problem, match="does not answer"):
        await Agent.connect(tmp_path / "agent.sock", timeout_s=0.1)
    for writer in held:
        writer.close()
    server.close()
    await server.wait_closed()
