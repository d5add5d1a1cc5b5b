"""Hands keys and passwords to a running guest through its agent, and again whenever their Secrets change."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any, Protocol

from vmpod.base.errors import Problem
from vmpod.node.translate.credentials import Credentials

_AGAIN_S = 300.0  # KubeVirt's: whoever changed a password inside has it for so long
_RETRY_S = 10.0
_EXEC_S = 10.0
_LOOK_S = 0.1
_SSH_COMMAND = "guest-ssh-add-authorized-keys"
OFFLINE = "Guest agent is offline"

Told = Callable[[str], None]


class Ask(Protocol):
    """A question to the guest agent. Raises Problem."""

    async def __call__(self, command: str, timeout_s: float = 5.0, **arguments: Any) -> Any: ...


class Keeper:
    """Keeps one guest's credentials as they are wished. `tell` hears "" for success, else what is wrong."""

    def __init__(self, ask: Ask, wanted: Callable[[], Credentials | None], tell: Told) -> None:
        self._ask = ask
        self._wanted = wanted
        self._tell = tell
        self._news = asyncio.Event()

    def look(self) -> None:
        """Something changed: a Secret, or whether the agent is there."""
        self._news.set()

    async def follow(self, has_agent: Callable[[], bool]) -> None:
        """Bring them up to date for ever. A guest without an agent is waited for."""
        while (wanted := self._wanted()) is not None:
            self._news.clear()
            why = await self._bring(wanted) if has_agent() else OFFLINE
            self._tell(why)
            pause_s = None if not has_agent() else _RETRY_S if why else _AGAIN_S
            try:
                await asyncio.wait_for(self._news.wait(), pause_s)
            except TimeoutError:
                pass

    async def _bring(self, wanted: Credentials) -> str:
        """Empty on success; in KubeVirt's words what failed first, after all was tried."""
        if wanted.missing:
            return wanted.missing
        troubles = []
        for user, keys in wanted.keys.items():
            if why := await _trouble(self._give_keys(user, keys)):
                troubles.append(f"Error encountered writing ssh pub key access credentials for user [{user}]: {why}")
        for user, password in wanted.passwords.items():
            if why := await _trouble(self._set_password(user, password)):
                troubles.append(f"Error encountered setting password for user [{user}]: {why}")
        return troubles[0] if troubles else ""

    async def _set_password(self, user: str, password: str) -> None:
        coded = base64.b64encode(password.encode()).decode()
        await self._ask("guest-set-user-password", username=user, password=coded, crypted=False)

    async def _give_keys(self, user: str, keys: tuple[str, ...]) -> None:
        """The agent's own command where it has it, else the file is written as its user's."""
        info = await self._ask("guest-info")
        if any(one["name"] == _SSH_COMMAND and one.get("enabled", True) for one in info["supported_commands"]):
            await self._ask(_SSH_COMMAND, username=user, keys=list(keys), reset=True)
        else:
            await self._write_keys(user, "".join(f"{key}\n" for key in keys))

    async def _write_keys(self, user: str, text: str) -> None:
        entry = (await self._run("getent", "passwd", user)).strip().split(":")
        if len(entry) < 6:
            raise Problem("write the keys", f"there is no user {user}")
        owner, folder = f"{entry[2]}:{entry[3]}", f"{entry[5]}/.ssh"
        file = f"{folder}/authorized_keys"
        if await self._read(file) == text:
            return
        for words in (("mkdir", "-p", folder), ("chown", owner, folder), ("chmod", "700", folder)):
            await self._run(*words)
        await self._write(file, text)
        for words in (("chown", owner, file), ("chmod", "600", file)):
            await self._run(*words)

    async def _read(self, file: str) -> str | None:
        try:
            handle = await self._ask("guest-file-open", path=file, mode="r")
        except Problem as problem:
            if problem.reason == "Refused":
                return None  # it is not there yet
            raise
        try:
            answer = await self._ask("guest-file-read", handle=handle, count=1 << 20)
        finally:
            await self._ask("guest-file-close", handle=handle)
        return base64.b64decode(answer.get("buf-b64", "")).decode(errors="replace")

    async def _write(self, file: str, text: str) -> None:
        handle = await self._ask("guest-file-open", path=file, mode="w")
        try:
            await self._ask("guest-file-write", handle=handle, buf_b64=base64.b64encode(text.encode()).decode())
        finally:
            await self._ask("guest-file-close", handle=handle)

    async def _run(self, *words: str) -> str:
        """What a program in the guest prints. Raises Problem when it fails."""
        started = await self._ask("guest-exec", path=words[0], arg=list(words[1:]), capture_output=True)
        async with asyncio.timeout(_EXEC_S):
            while not (done := await self._ask("guest-exec-status", pid=started["pid"])).get("exited"):
                await asyncio.sleep(_LOOK_S)
        if done.get("exitcode"):
            raise Problem(f"run {words[0]} in the guest", f"{words[0]} exited with {done['exitcode']}")
        return base64.b64decode(done.get("out-data", "")).decode(errors="replace")


async def _trouble(step: Any) -> str:
    try:
        await step
    except Problem as problem:
        return problem.why
    except TimeoutError:
        return "a program in the guest does not end"
    return ""
