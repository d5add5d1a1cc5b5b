"""A running machine's monitor, over QEMU's own QMP client.

QEMU serves one monitor client at a time: the engine holds the connection while it lives, and a new engine simply
connects again. Answers are those of the QEMU QMP reference.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qemu.qmp import EventListener, ExecInterruptedError, ExecuteError, QMPClient, QMPError, Runstate, StateError

from vmpod.base.errors import Problem
from vmpod.drivers.qemu import sockets

_EXECUTE_TIMEOUT_S = 30.0
_FDSETS = "/dev/fdset"

logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)  # what it knows comes back as an exception


@dataclass(frozen=True)
class Event:
    """Something that happened in the machine: QEMU's name for it, its data, seconds since the epoch."""

    name: str
    data: Mapping[str, Any]
    time_s: float


class Gone(Problem):
    """The machine ended, or nobody listens on its monitor."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(what, why, reason="Gone")


class Refused(Problem):
    """QEMU said no; `kind` is its error class, e.g. `CommandNotFound`."""

    def __init__(self, what: str, why: str, kind: str) -> None:
        super().__init__(what, why, reason="Refused")
        self.kind = kind


class Monitor:
    """One connection to one machine. After `Gone` it is of no use any more."""

    def __init__(self, client: QMPClient, listener: EventListener) -> None:
        self._client = client
        self._listener = listener
        self._wire: socket.socket | None = None
        self._passing = asyncio.Lock()

    @classmethod
    async def connect(cls, path: Path, *, timeout_s: float = 5.0) -> Monitor:
        """Connect and negotiate. Raises Gone when nobody answers within `timeout_s` seconds."""
        client = QMPClient(str(path))
        listener = EventListener()
        client.register_listener(listener)
        monitor = cls(client, listener)
        try:
            wire = sockets.connect(path)
            monitor._wire = wire.dup()
            await asyncio.wait_for(client.connect(wire), timeout_s)
        except (OSError, EOFError, QMPError, TimeoutError) as error:
            monitor._drop_wire()
            raise Gone(f"reach the monitor {path.name}", str(error) or type(error).__name__) from None
        return monitor

    def _drop_wire(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    @property
    def is_connected(self) -> bool:
        return self._client.runstate == Runstate.RUNNING

    async def execute(self, command: str, **arguments: Any) -> Any:
        """Run a command (`_` in names of arguments stands for `-`) and give its answer.

        Raises Refused when QEMU declines, Gone when it ends meanwhile.
        """
        return await self._run(command, {key.replace("_", "-"): value for key, value in arguments.items()
                                         if value is not None})  # fmt: skip

    async def _run(self, command: str, given: Mapping[str, Any]) -> Any:
        try:
            return await asyncio.wait_for(self._client.execute(command, dict(given) or None), _EXECUTE_TIMEOUT_S)
        except ExecuteError as error:
            raise Refused(f"run {command}", str(error), error.error_class) from None
        except (ExecInterruptedError, StateError, QMPError, EOFError, OSError) as error:
            raise Gone(f"run {command}", str(error) or "the machine ended") from None
        except TimeoutError:
            raise Gone(f"run {command}", f"no answer within {_EXECUTE_TIMEOUT_S:g} s") from None

    async def events(self) -> AsyncIterator[Event]:
        """What happens from the moment of connecting on; ends when the machine ends."""
        gone = asyncio.ensure_future(self._ended())
        waits: set[asyncio.Future[Any]] = {gone}
        try:
            while not (gone.done() and self._listener.empty()):
                message = asyncio.ensure_future(self._listener.get())
                waits = {message, gone}
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(0)  # lets a last event out that came together with the end
                if not message.done():
                    message.cancel()
                    continue
                yield _event(message.result())
        finally:
            for one in waits:
                one.cancel()

    async def _ended(self) -> None:
        while self._client.runstate == Runstate.RUNNING:
            await self._client.runstate_changed()

    async def close(self) -> None:
        """Let go of the machine, which runs on."""
        self._drop_wire()
        try:
            if self._client.runstate != Runstate.IDLE:
                await self._client.disconnect()
        except (EOFError, OSError, QMPError):
            pass  # it hung up first

    async def status(self) -> str:
        """QEMU's RunState: running, paused, prelaunch, shutdown, io-error, internal-error, guest-panicked …"""
        return str((await self.execute("query-status"))["status"])

    async def power_down(self) -> None:
        """Press the power button; what follows is up to the guest."""
        await self.execute("system_powerdown")

    async def reset(self) -> None:
        await self.execute("system_reset")

    async def stop(self) -> None:
        """Freeze the processors."""
        await self.execute("stop")

    async def cont(self) -> None:
        await self.execute("cont")

    async def quit(self) -> None:
        """End QEMU at once, flushing its disks."""
        try:
            await self.execute("quit")
        except Gone:
            pass

    async def machine_type(self) -> str:
        """The versioned machine type that an alias such as q35 stands for, e.g. pc-q35-7.2."""
        kind = await self.execute("qom-get", path="/machine", property="type")
        return str(kind).removesuffix("-machine")

    async def is_agent_connected(self, chardev: str) -> bool:
        """Whether the guest has opened its end of a serial port."""
        devices = await self.execute("query-chardev")
        return any(d["label"] == chardev and d["frontend-open"] for d in devices)

    async def block_devices(self) -> list[dict[str, Any]]:
        return list(await self.execute("query-block"))

    async def block_nodes(self) -> set[str]:
        """The names of all block nodes, used by a device or not."""
        return {str(one["node-name"]) for one in await self.execute("query-named-block-nodes", flat=True)}

    async def add_block_node(self, options: Mapping[str, Any]) -> None:
        """Make a block node (BlockdevOptions); a None in them is null, as in `backing`. Raises Refused, Gone."""
        await self._run("blockdev-add", options)

    async def add_fd(self, fd: int, *, note: str = "", to: str = "") -> str:
        """Give QEMU an open file; the path `/dev/fdset/N` by which its commands then name it.

        QEMU keeps a copy of its own: `fd` stays the caller's to close. `to`, an earlier answer, gets it as another
        way to open the same file (QEMU takes the one whose access mode fits). `note` is shown by `query-fdsets`.
        What no block device holds is gone when this connection is. Raises Refused, Gone.
        """
        wanted = int(to.rpartition("/")[2]) if to else None
        async with self._passing:  # QEMU takes the file that came last before the command
            self._send(fd)
            added = await self.execute("add-fd", fdset_id=wanted, opaque=note or None)
        return f"{_FDSETS}/{added['fdset-id']}"

    def _send(self, fd: int) -> None:
        """The file goes with one blank, which is nothing between two commands."""
        if self._wire is None:
            raise Gone("run add-fd", "the connection is closed")
        try:
            socket.send_fds(self._wire, [b" "], [fd])
        except OSError as error:
            raise Gone("run add-fd", os.strerror(error.errno or 0)) from None

    async def pass_fd(self, fd: int, name: str) -> None:
        """Give QEMU an open file that its commands then name `fd:NAME`; `fd` stays the caller's to close.

        Raises Refused, Gone.
        """
        async with self._passing:
            self._send(fd)
            await self.execute("getfd", fdname=name)

    async def remove_fd(self, path: str) -> None:
        """Forget the files of `/dev/fdset/N`: now, or once the block device that holds them is gone.

        Nothing when QEMU knows it no more.
        """
        number = int(path.rpartition("/")[2])
        if any(one["fdset-id"] == number for one in await self.fd_sets()):
            try:
                await self.execute("remove-fd", fdset_id=number)
            except Refused:
                pass  # it was gone first

    async def fd_sets(self) -> list[dict[str, Any]]:
        """The files given to QEMU: `fdset-id` and `fds`, each with its `opaque` note."""
        return list(await self.execute("query-fdsets"))

    async def screenshot(self, path_inside: str) -> None:
        """Write what the screen shows as PNG to a file of QEMU's side. Raises Refused without a screen."""
        await self.execute("screendump", filename=path_inside, format="png")


def _event(message: Mapping[str, Any]) -> Event:
    moment = message.get("timestamp") or {}
    seconds = moment.get("seconds", 0) + moment.get("microseconds", 0) / 1e6
    return Event(str(message["event"]), message.get("data") or {}, seconds)
