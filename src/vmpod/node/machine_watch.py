"""One running machine: its monitor followed, its guest agent asked, its probes run; what is seen is told on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Protocol

from vmpod.base import log
from vmpod.base.errors import Problem
from vmpod.base.tasks import Tasks
from vmpod.drivers.qemu.agent import Agent
from vmpod.drivers.qemu.args.channel import AGENT_CHARDEV
from vmpod.drivers.qemu.qmp import Event, Gone, Monitor, Refused
from vmpod.kinds.parts.migration import active_launcher
from vmpod.model import quantity
from vmpod.model.meta import Object, get
from vmpod.node import disksizes, machine_files, machine_growth, machine_links, machine_probes, machine_resume
from vmpod.node.machine_credentials import OFFLINE, Keeper
from vmpod.node.machine_freeze import Freezer
from vmpod.node.machine_stages import Ascent
from vmpod.node.machine_streams import Seat
from vmpod.node.status.machine import Guest, Observed, guest_os
from vmpod.node.status.stages import Progress
from vmpod.node.translate.credentials import Credentials
from vmpod.node.translate.machine import boot_memory_bytes

_USB_PORTS = 4  # KubeVirt's UsbClientPassthroughMaxNumberOf
_QUICK_S = 0.03
_QUICK_TIMES = 200
_SLOW_S = 0.5
_AGENT_S = 30.0
_AGENT_DEVICE = "agent0-dev"
_PRESSES_S = (1.0, 1.0, 3.0)
_PRESS_S = 5.0
_REBOOT_S = 120.0
_CHANGES = ("STOP", "RESUME", "SUSPEND", "WAKEUP", "GUEST_PANICKED", "WATCHDOG", "BLOCK_IO_ERROR", "RESET", "SHUTDOWN")
_log = log.get("machines")


@dataclass(frozen=True)
class Machine:
    """Which machine: its VMI, the pod that it runs in, where its sockets are, and what marks that it has an address.

    `is_target`: the pod was made for the guest to move to.
    """

    namespace: str
    name: str
    uid: str
    pod: str
    pod_uid: str
    folder: Path
    lease: Path | None = None
    is_target: bool = False


Tell = Callable[["Watch"], None]
Note = Callable[["Watch", str, str, str], None]
"""(watch, type, reason, message): something for people to know"""


class Around(Protocol):
    """What a machine's surroundings tell."""

    def ports(self, watch: Watch) -> Sequence[int]:
        """The TCP ports on which the guest is expected to listen."""
        ...

    def credentials(self, watch: Watch) -> Credentials | None:
        """The keys and passwords that go into the guest through its agent; None: nothing does."""
        ...


class Watch:
    """Follows one machine until `stop`. `seen` is always what is known now; `tell` is called when it changed.

    One that is `dormant` has no guest: it waits for one that comes from another launcher, or its guest has left.
    """

    def __init__(
        self, machine: Machine, vmi: Object, seen: Observed, tell: Tell, note: Note, around: Around, *,
        dormant: bool = False,
    ) -> None:
        self.machine = machine
        self.dormant = dormant
        self.migration_news = asyncio.Event()
        self.held = False
        """Whether the guest stands still only because it is being moved: then it counts as running"""
        self.freezer = Freezer(machine.folder.parent / "thaw-at", self.ask, self._is_frozen)
        self._around = around
        self.keeper = Keeper(self.ask, lambda: around.credentials(self), self._has_credentials)
        self.ascent = Ascent(machine.folder, machine.lease, self._doors, self._has_come)
        self.seen: Observed = replace(seen, frozen=self.freezer.is_held, progress=self.ascent.known,
                                      cards_moved=(machine.folder.parent / machine_files.CARDS_MOVED).exists())
        self.console = Seat(machine.folder / "serial.sock")
        self.screen = Seat(machine.folder / "vnc.sock")
        self.usb = tuple(Seat(machine.folder / f"usbredir{number}.sock") for number in range(_USB_PORTS))
        self._spec: Object = get(vmi, "spec", default={})
        self._links = machine_links.wanted(vmi)
        self._boot_bytes = boot_memory_bytes(vmi)
        self._size_news = asyncio.Event()
        self._is_new = get(vmi, "status", "phase") != "Running"
        self._tell = tell
        self._note = note
        self._tasks = Tasks()
        self.is_fresh = False  # whether `seen` is of the present connection, and not remembered
        self._qmp: Monitor | None = None
        self._agent: Agent | None = None
        self._agent_lock = asyncio.Lock()
        self._agent_news = asyncio.Event()
        self._begun: set[str] = set()
        self._reboot_until = 0.0

    def start(self) -> None:
        """Begin to follow; the machine need not run yet."""
        self._begin("monitor", self._follow())
        self._begin("agent", self._ask_agent())
        self._begin("growth", self._grow())
        self._begin("thaw", self.freezer.follow())
        self._begin("credentials", self.keeper.follow(lambda: self.seen.guest.connected))
        self._begin("ascent", self.ascent.follow(lambda: self._qmp, lambda: self.seen.guest.connected))

    def is_home(self, vmi: Object) -> bool:
        """Whether the guest lives in this launcher, by what the instance says."""
        named = active_launcher(vmi)
        return self.machine.pod == named if named else not self.machine.is_target

    async def wake(self, vmi: Object, ready: bool | None) -> None:
        """The guest has come: from now on it is looked after here."""
        self.dormant = False
        self.ascent.resumed()
        self._links = machine_links.wanted(vmi)
        self.wish(vmi)
        self.observe(ready=ready)
        if self._qmp is not None:
            try:
                await self._take_stock(self._qmp)
            except (Gone, Refused) as problem:
                _log.debug("monitor of %s: %s", self.machine.name, problem)

    def _is_frozen(self, frozen: bool) -> None:
        self.observe(frozen=frozen)

    def _doors(self) -> tuple[str, Sequence[int]]:
        return self.seen.ip, self._around.ports(self)

    def _has_come(self, progress: Progress) -> None:
        self.observe(progress=progress)

    def _has_credentials(self, why: str) -> None:
        """A guest that has not booted yet is no failure worth an event."""
        if why != self.seen.credentials and why != OFFLINE:
            if why:
                self._note(self, "Warning", "AccessCredentialsSyncFailed", f"Access credentials sync failed: {why}")
            else:
                self._note(self, "Normal", "AccessCredentialsSyncSuccess", "Access credentials sync successful.")
        self.observe(credentials=why)

    def wish(self, vmi: Object) -> None:
        """The instance as it should be now: what can change live is changed."""
        if get(vmi, "spec") != self._spec:
            self._spec = get(vmi, "spec", default={})
            self._size_news.set()

    def _begin(self, name: str, work: Any) -> None:
        self._begun.add(name)
        self._tasks.start(work, f"{name} of {self.machine.namespace}/{self.machine.name}")

    async def stop(self) -> None:
        """Let go of the machine, which runs on."""
        await self._tasks.stop()
        for seat in (self.console, self.screen, *self.usb):
            await seat.close()
        await self._hang_up()
        if self._qmp is not None:
            await self._qmp.close()

    def observe(self, **changes: Any) -> None:
        """Note what changed and tell, if it did."""
        fresh = replace(self.seen, **changes)
        if fresh != self.seen:
            self.seen = fresh
            self._tell(self)

    # monitor ---------------------------------------------------------------------------------------------

    @property
    def is_reached(self) -> bool:
        """Whether there is a connection to its monitor."""
        return self._qmp is not None

    @property
    def qmp(self) -> Monitor:
        """The connection. Raises Gone while there is none."""
        if self._qmp is None:
            raise Gone(f"reach the machine {self.machine.name}", "it does not answer")
        return self._qmp

    async def _follow(self) -> None:
        while True:
            self._qmp = await self._connect()
            try:
                await self._take_stock(self._qmp)
                async for event in self._qmp.events():
                    await self._happened(self._qmp, event)
            except (Gone, Refused) as problem:
                _log.debug("monitor of %s: %s", self.machine.name, problem)
            finally:
                lost, self._qmp, self.is_fresh = self._qmp, None, False
                await lost.close()
            self.observe(run_state="", guest=Guest())

    async def _connect(self) -> Monitor:
        path = self.machine.folder / "qmp.sock"
        attempt = 0
        while True:
            if path.exists():
                try:
                    return await Monitor.connect(path)
                except Gone:
                    pass
            attempt += 1
            await asyncio.sleep(_QUICK_S if attempt < _QUICK_TIMES else _SLOW_S)

    async def _resume(self, qmp: Monitor) -> None:
        """A machine that rested goes on where it was."""
        begin = asyncio.get_running_loop().time()
        try:
            record = await machine_resume.resume(qmp, self.machine.folder.parent)
        except OSError as error:
            raise Gone("read the machine's memory", str(error)) from None
        if record is None:
            return
        took_s = asyncio.get_running_loop().time() - begin
        self._note(self, "Normal", "WarmStarted", f"The guest goes on where it was at {record['at']}, {took_s:.1f} s "
                   "after QEMU answered")  # fmt: skip
        self.ascent.resumed()
        self._begin("clock", self._set_clock(str(record["at"])))

    async def _set_clock(self, since: str) -> None:
        why = await machine_resume.set_clock(self.ask, self._execute, lambda: self.seen.guest.connected)
        if why:
            text = f"The guest's clock stands where it was at {since} until the guest itself puts it right: {why}"
            self._note(self, "Warning", "ClockBehind", text)

    async def _take_stock(self, qmp: Monitor) -> None:
        if self.dormant:
            self.observe(run_state=await qmp.status())
            return
        await machine_resume.release(qmp, self.machine.folder.parent)
        await self._resume(qmp)
        down = await machine_links.bring(qmp, self._links)  # first: the guest has hardly begun
        kind = self.seen.machine_type or await qmp.machine_type()
        state = await self._state(qmp)
        if state == "shutdown":  # an earlier engine died during a soft reboot
            self._reboot_until = asyncio.get_running_loop().time() + _REBOOT_S
            await self._after_shutdown(qmp)
            state = await qmp.status()
        connected = await qmp.is_agent_connected(AGENT_CHARDEV)
        guest = self.seen.guest if connected and self.seen.guest.connected else Guest(connected=connected)
        size, disks = await machine_growth.measure(qmp), await disksizes.measure(qmp)
        self.observe(run_state=state, machine_type=kind, guest=guest, down=down, trouble=None, size=size, disks=disks)
        self.is_fresh = True
        self._size_news.set()
        self._agent_news.set()
        self.keeper.look()
        self.ascent.switched_on()
        self._start_probes()
        if self._is_new:
            self._is_new = False
            self._note(self, "Normal", "Started", "VirtualMachineInstance started.")

    def look_at_links(self, vmi: Object) -> None:
        """Bring the links of the cards up to what the VMI says, when that has changed."""
        fresh = machine_links.wanted(vmi)
        if fresh != self._links:
            self._links = fresh
            self.refresh_links()

    def mark_cards(self) -> None:
        """Note for good that a card came or went: another QEMU of this instance would have its devices elsewhere."""
        (self.machine.folder.parent / machine_files.CARDS_MOVED).touch()
        self.observe(cards_moved=True)

    def refresh_links(self) -> None:
        """Set the links of all cards, as after one was plugged in."""
        self._tasks.start(self._set_links(), f"links of {self.machine.name}")

    async def _set_links(self) -> None:
        """Without a monitor nothing is lost: its next connection begins with the links."""
        try:
            self.observe(down=await machine_links.bring(self.qmp, self._links))
        except (Gone, Refused) as problem:
            _log.debug("links of %s: %s", self.machine.name, problem)

    async def _happened(self, qmp: Monitor, event: Event) -> None:
        if event.name == "MIGRATION":
            self.migration_news.set()
        if self.dormant:
            await self._happened_elsewhere(qmp, event)
            return
        if event.name == "VSERPORT_CHANGE" and event.data.get("id") == _AGENT_DEVICE:
            await self._hang_up()
            self.observe(guest=Guest(connected=bool(event.data.get("open"))))
            self._agent_news.set()
            self.keeper.look()
            self.ascent.heard_agent()
            return
        if event.name == "RESET":
            self.ascent.restarted()
        if event.name == "SHUTDOWN":
            await self._shut_down(qmp, event)
        if event.name == "BLOCK_IO_ERROR":
            self._report_io_error(event)
        if event.name == "GUEST_PANICKED":
            self._note(self, "Warning", "PanicGuest", "Guest panicked")
            self.observe(panicked=True)
        if event.name == "MEMORY_DEVICE_SIZE_CHANGE":
            self.observe(size=await machine_growth.measure(qmp))
        if event.name in _CHANGES:
            self.observe(run_state=await self._state(qmp))

    async def _state(self, qmp: Monitor) -> str:
        """QEMU's run state, but for a guest that only stands still to be moved."""
        state = await qmp.status()
        return "running" if self.held and state == "paused" else state

    async def _happened_elsewhere(self, qmp: Monitor, event: Event) -> None:
        """A guest that has just come may end before anybody says that it lives here."""
        if event.name == "SHUTDOWN" and event.data.get("guest"):
            self.observe(guest_stopped=True)
        elif event.name in _CHANGES:
            self.observe(run_state=await qmp.status())

    async def _shut_down(self, qmp: Monitor, event: Event) -> None:
        if event.data.get("guest") and event.data.get("reason") != "guest-panic":
            self.observe(guest_stopped=True)
        if await qmp.status() == "shutdown":
            await self._after_shutdown(qmp)

    async def _after_shutdown(self, qmp: Monitor) -> None:
        """The guest has powered off and QEMU stayed, as a soft reboot told it to: start anew, or end after all."""
        await qmp.execute("set-action", shutdown="poweroff")
        wanted = asyncio.get_running_loop().time() < self._reboot_until and not self.seen.stop_wished
        self._reboot_until = 0.0
        if not wanted:
            await qmp.quit()
            return
        self.observe(guest_stopped=False)
        await qmp.reset()
        await qmp.cont()

    def _report_io_error(self, event: Event) -> None:
        device = str(event.data.get("device") or event.data.get("node-name") or "a disk")
        if event.data.get("nospace"):
            why = "the host's disk is full; free some space, then run: virtctl unpause vmi " + self.machine.name
        else:
            why = str(event.data.get("reason") or "input/output error")
        self._note(self, "Warning", "IOerror", f"{device}: {why}")

    # growing ---------------------------------------------------------------------------------------------

    async def _grow(self) -> None:
        """Bring processors and memory to what is wished, whenever the wish or the machine is new."""
        while True:
            await self._size_news.wait()
            self._size_news.clear()
            if self._qmp is not None and not self.dormant:
                await self._grow_once(self._qmp)

    async def _grow_once(self, qmp: Monitor) -> None:
        sockets = int(get(self._spec, "domain", "cpu", "sockets", default=0))
        guest = get(self._spec, "domain", "memory", "guest")
        size = self.seen.size
        if size.sockets is not None and sockets > size.sockets:
            self.observe(cpu_trouble=await _trouble(machine_growth.plug_sockets(qmp, sockets)))
        if size.plugged_bytes is not None and guest is not None:
            more = max(0, quantity.to_bytes(guest) - self._boot_bytes)
            self.observe(memory_trouble=await _trouble(machine_growth.offer_memory(qmp, more)))
        try:
            self.observe(size=await machine_growth.measure(qmp))
        except Gone:
            pass  # it ended meanwhile, which is told elsewhere

    # stopping --------------------------------------------------------------------------------------------

    def power_down(self) -> None:
        """Press the power button, again and again until the machine is gone: one that boots does not listen yet."""
        if "power button" not in self._begun:
            self.observe(stop_wished=True)
            self._note(self, "Normal", "ShuttingDown", "Signaled Graceful Shutdown")
            self._begin("power button", self._press())

    async def _press(self) -> None:
        for pause_s in chain(_PRESSES_S, repeat(_PRESS_S)):
            try:
                if self.seen.is_paused:
                    await self.qmp.cont()
                await self.qmp.power_down()
            except (Gone, Refused):
                pass
            await asyncio.sleep(pause_s)

    async def soft_reboot(self) -> None:
        """Ask the guest to start anew: through its agent, else a power-down that ends in a reset."""
        if self.seen.guest.connected and await self._rebooted_by_agent():
            return
        await self.qmp.execute("set-action", shutdown="pause")
        self._reboot_until = asyncio.get_running_loop().time() + _REBOOT_S
        await self.qmp.power_down()

    async def _rebooted_by_agent(self) -> bool:
        """The agent says nothing when it obeys."""
        try:
            await self.ask("guest-shutdown", 1.0, mode="reboot")
        except Problem as problem:
            return problem.reason != "Refused"
        return True

    # guest agent -----------------------------------------------------------------------------------------

    async def ask(self, command: str, timeout_s: float = 5.0, **arguments: Any) -> Any:
        """One question to the guest agent. Raises Problem when it is not there or refuses."""
        if not self.seen.guest.connected:
            raise Problem("ask the guest agent", "VMI does not have guest agent connected", reason="NoAgent")
        async with self._agent_lock:
            return await self._say(command, timeout_s, **arguments)

    async def _say(self, command: str, timeout_s: float, **arguments: Any) -> Any:
        """The conversation stays open: an agent without a listener looks ten times a second whether one came."""
        if self._agent is None:
            self._agent = await Agent.connect(self.machine.folder / "agent.sock")
        try:
            return await self._agent.execute(command, timeout_s, **arguments)
        except Problem as problem:
            if problem.reason != "Refused":
                await self._hang_up()
            raise

    async def _hang_up(self) -> None:
        agent, self._agent = self._agent, None
        if agent is not None:
            await agent.close()

    async def ask_if_known(self, command: str) -> Any:
        """Like `ask`, but None when this guest's agent does not know the command or declines it."""
        try:
            return await self.ask(command)
        except Problem as problem:
            if problem.reason == "Refused":
                return None
            raise

    async def _ask_agent(self) -> None:
        while True:
            self._agent_news.clear()
            if self.seen.guest.connected:
                await self._learn()
            machine_files.trim_log(self.machine.folder / "serial.log")
            try:
                await asyncio.wait_for(self._agent_news.wait(), _AGENT_S)
            except TimeoutError:
                pass

    async def _learn(self) -> None:
        """The agent of an old guest may not know every question."""
        try:
            info = await self.ask("guest-info")
            system = await self.ask_if_known("guest-get-osinfo")
            cards = await self.ask_if_known("guest-network-get-interfaces")
        except Problem as problem:
            _log.debug("guest agent of %s: %s", self.machine.name, problem)
            return
        names = {str(c["hardware-address"]).lower(): str(c["name"]) for c in cards or () if "hardware-address" in c}
        found = {str(c["hardware-address"]).lower(): tuple(str(a["ip-address"]) for a in c.get("ip-addresses") or ())
                 for c in cards or () if "hardware-address" in c}
        self.observe(guest=Guest(True, True, str(info.get("version", "")), guest_os(system or {}), names, found))

    # probes ----------------------------------------------------------------------------------------------

    def _start_probes(self) -> None:
        readiness, liveness = self._spec.get("readinessProbe"), self._spec.get("livenessProbe")
        doors = machine_probes.Doors(self.seen.ip, self._ping, self._execute)
        if readiness and "readiness" not in self._begun:
            if self.seen.ready is None:
                self.observe(ready=False, ready_why="the readiness probe has not succeeded yet")
            self._begin("readiness", machine_probes.follow(readiness, doors, self._is_ready))
        if liveness and "liveness" not in self._begun:
            self._begin("liveness", machine_probes.follow(liveness, doors, self._is_live))

    def _is_ready(self, ok: bool, why: str) -> None:
        if not ok and self.seen.ready is not False:
            self._note(self, "Warning", "Unhealthy", f"Readiness probe failed: {why}")
        self.observe(ready=ok, ready_why="" if ok else f"Readiness probe failed: {why}")

    def _is_live(self, ok: bool, why: str) -> None:
        if not ok and "end" not in self._begun:
            self._note(self, "Warning", "Unhealthy", f"Liveness probe failed: {why}, the machine is ended")
            self._begin("end", self.end())

    async def end(self) -> None:
        """End QEMU at once."""
        try:
            await self.qmp.quit()
        except Problem:
            pass

    async def _ping(self, timeout_s: float) -> bool:
        try:
            await self.ask("guest-ping", timeout_s)
        except Problem:
            return False
        return True

    async def _execute(self, command: list[str], timeout_s: float) -> int:
        """Run a program in the guest; its exit code, -1 when it could not be run."""
        try:
            started = await self.ask("guest-exec", timeout_s, path=command[0], arg=command[1:])
            while True:
                done = await self.ask("guest-exec-status", timeout_s, pid=started["pid"])
                if done.get("exited"):
                    return int(done.get("exitcode", -1))
                await asyncio.sleep(0.1)
        except (Problem, IndexError):
            return -1


async def _trouble(step: Awaitable[None]) -> str:
    """Why a step was refused, empty when it was not; a machine that ended has no such trouble."""
    try:
        await step
    except Gone:
        return ""
    except Problem as problem:
        return problem.why
    return ""
