"""A running exec or attach: its two directions, window size and exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from vmpod.drivers.podman import monitors
from vmpod.drivers.podman.rest import PodmanError, Rest

STDOUT, STDERR = 1, 2
_EXIT_S = 10.0
_PODMANS_OWN = b"Error: read unixpacket @->/proc/self/fd/"  # said after a program that could not be started
_PIECE_BYTES = 64 * 1024


class Session:
    """With a terminal all output is stdout; else podman marks each frame (8 bytes: stream, 3 × 0, length)."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, tty: bool,
        resize: Callable[[int, int], Awaitable[None]], exit_code: Callable[[], Awaitable[int]],
    ) -> None:
        self._reader, self._writer, self._tty = reader, writer, tty
        self._resize, self._exit_code = resize, exit_code

    async def read(self) -> tuple[int, bytes] | None:
        """The next output (stream, bytes); None when there is no more."""
        try:
            if self._tty:
                data = await self._reader.read(_PIECE_BYTES)
                return (STDOUT, data) if data else None
            head = await self._reader.readexactly(8)
            data = await self._reader.readexactly(int.from_bytes(head[4:8], "big"))
            if data.startswith(_PODMANS_OWN):
                return await self.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return (STDERR if head[0] == STDERR else STDOUT), data

    async def write(self, data: bytes) -> None:
        """Send to its standard input; silently nothing once it has ended."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            pass

    async def end_input(self) -> None:
        """Close its standard input."""
        try:
            if self._writer.can_write_eof():
                self._writer.write_eof()
        except (ConnectionError, OSError):
            pass

    async def resize(self, width: int, height: int) -> None:
        """Tell the terminal its size in characters; a session that already ended is not an error."""
        try:
            await self._resize(width, height)
        except PodmanError:
            pass

    async def exit_code(self) -> int:
        """The exit code, once the output has ended."""
        return await self._exit_code()

    async def close(self) -> None:
        """Give up the connection; what runs inside goes on."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except (ConnectionError, OSError):
            pass


async def start_exec(
    rest: Rest, container: str, command: list[str], *, stdin: bool, tty: bool, user: str, env: list[str],
    workdir: str, privileged: bool,
) -> Session:
    """Run a program beside the first one of a container. Raises PodmanError."""
    what = f"run {command[0] if command else 'nothing'} in the container"
    wanted: dict[str, object] = {
        "AttachStdin": stdin, "AttachStdout": True, "AttachStderr": True, "Tty": tty, "Cmd": command,
        "DetachKeys": "", "Env": env, "Privileged": privileged,
    }
    wanted |= {key: value for key, value in (("User", user), ("WorkingDir", workdir)) if value}
    made = await rest.ask("POST", f"/containers/{container}/exec", what=what, body=wanted)
    session = made["Id"]
    start = {"Detach": False, "Tty": tty}
    reader, writer = await rest.hijack(f"/exec/{session}/start", what=what, body=start)

    async def resize(width: int, height: int) -> None:
        query = {"w": str(width), "h": str(height)}
        await rest.ask("POST", f"/exec/{session}/resize", what="resize the terminal", query=query)

    async def exit_code() -> int:
        return await _exit_code(rest, session)

    return Session(reader, writer, tty=tty, resize=resize, exit_code=exit_code)


async def _exit_code(rest: Rest, session: str) -> int:
    """podman notes the code a moment after the output has ended."""
    for _ in range(int(_EXIT_S / 0.02)):
        seen = await rest.ask("GET", f"/exec/{session}/json", what="read the exit code")
        if not seen.get("Running"):
            await monitors.hurry(session)
            return int(seen.get("ExitCode") or 0)
        await asyncio.sleep(0.02)
    raise PodmanError("read the exit code", 0, f"the program did not end within {_EXIT_S:g} s of its output")


async def attach(rest: Rest, container: str, *, stdin: bool, tty: bool) -> Session:
    """Join the first program of a container. Raises PodmanError."""
    what = "attach to the container"
    flag = {True: "true", False: "false"}
    query = {"stream": "true", "logs": "false", "stdin": flag[stdin], "stdout": "true", "stderr": "true"}
    reader, writer = await rest.hijack(f"/containers/{container}/attach", what=what, query=query)

    async def resize(width: int, height: int) -> None:
        size = {"w": str(width), "h": str(height)}
        await rest.ask("POST", f"/containers/{container}/resize", what="resize the terminal", query=size)

    async def exit_code() -> int:
        seen = await rest.ask("GET", f"/containers/{container}/json", what="read the exit code")
        return int(seen["State"].get("ExitCode") or 0)

    return Session(reader, writer, tty=tty, resize=resize, exit_code=exit_code)
