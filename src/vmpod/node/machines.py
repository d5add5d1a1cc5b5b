"""The machines of this node: what their containers should be, and what is seen of those that run.

Nothing here is needed for a machine to run on: a new engine connects to the same sockets and goes on telling.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from vmpod.base import log
from vmpod.base.clock import Clock, SystemClock
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.base.tasks import Tasks
from vmpod.client.cache import Cache
from vmpod.client.client import Client
from vmpod.drivers.host.facts import HostFacts
from vmpod.drivers.net.attachments import Attachment, MachineNic
from vmpod.drivers.podman import container as labels_
from vmpod.drivers.podman.client import Podman
from vmpod.drivers.podman.logs import Wanted
from vmpod.drivers.podman.spec import ContainerSpec
from vmpod.drivers.qemu import migration as qemu
from vmpod.drivers.qemu.args import cpu
from vmpod.drivers.qemu.migration import Place
from vmpod.kinds import CONFIGMAP, KUBEVIRT, PERSISTENTVOLUMECLAIM, POD, SECRET, VIRTUALMACHINE, VIRTUALMACHINEINSTANCE
from vmpod.kinds.parts import kubevirt_config
from vmpod.kinds.parts.migration import JOB, comes_from, is_active, is_awaiting, is_moving_unpaused
from vmpod.model import conditions, status
from vmpod.model.meta import Object, controller_of, get, is_deleting, labels, name, namespace, revision, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.model.selectors import from_map
from vmpod.node import machine_asks, machine_checks, machine_files, machine_links, replug
from vmpod.node.duplexes import ConnectionDuplex
from vmpod.node.machine_around import Neighbours
from vmpod.node.machine_plugs import Plugging, Plugs
from vmpod.node.machine_streams import Datagrams, Seated, open_tcp, open_udp
from vmpod.node.machine_watch import Machine, Watch
from vmpod.node.pinning import Pins
from vmpod.node.prepared import PreparedVolume
from vmpod.node.resting import Resting
from vmpod.node.status import machine as machine_status
from vmpod.node.status.machine import Guest, Observed
from vmpod.node.translate.machine import ACCELERATOR, machine_spec
from vmpod.node.translate.machine_container import COMPUTE, Surroundings, container_spec
from vmpod.node.translate.machine_nics import machine_nic, nics
from vmpod.reconcile.actions import Note
from vmpod.reconcile.events import Recorder

Key = tuple[str, str]
Stream = ConnectionDuplex | Seated | Datagrams
_LAUNCHER = {"kubevirt.io": "virt-launcher"}
_NOT_RUNNING = "VMI is not running"
_LAST_LINES = 5
_TRIES = 5
_log = log.get("machines")


class Ref(Protocol):
    """The object that a stream belongs to."""

    @property
    def namespace(self) -> str: ...

    @property
    def name(self) -> str: ...


class Net(Protocol):
    """What is asked of the network."""

    def attachments(self) -> list[Attachment]: ...


class Machines:
    """Every launcher pod of this node that has, or shall have, a machine."""

    def __init__(
        self,
        client: Client,
        cache: Cache,
        paths: Paths,
        facts: HostFacts,
        network: Net,
        podman: Podman,
        volumes: Plugs,
        enqueue: Callable[[Key], None],
        *,
        events: Recorder | None = None,
        clock: Clock | None = None,
        settled: Callable[[], Awaitable[HostFacts]] | None = None,
    ) -> None:
        self._client = client
        self._cache = cache
        self._paths = paths
        self._facts = facts
        self._settled = settled
        self._network = network
        self._podman = podman
        self._volumes = volumes
        self._enqueue = enqueue
        self._events = events or Recorder(client, "virt-handler", facts.hostname)
        self._clock = clock or SystemClock()
        self._around = Neighbours(cache)
        self._watches: dict[str, Watch] = {}
        self._pins = Pins(podman)
        self._writing: dict[str, asyncio.Lock] = {}
        self._written: dict[str, int] = {}  # the revision of each instance that we wrote last
        self._tasks = Tasks()
        self._resting = Resting(cache, paths, self._events, self._tasks)
        self._plugging = Plugging(cache, volumes, self._tasks, self.vmi, self._attachment, self._note)

    # life ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Find the machines that run already and follow them; nothing about them is changed."""
        self._cache.subscribe(POD, self._pod_changed)
        self._cache.subscribe(VIRTUALMACHINEINSTANCE, self._vmi_changed)
        self._cache.subscribe(SECRET, self._secret_changed)
        self._cache.subscribe(VIRTUALMACHINE, self._owner_changed)
        self._cache.subscribe(PERSISTENTVOLUMECLAIM, self._owner_changed)
        self._resting.sweep()
        for pod in self._cache.list(POD, selector=from_map(_LAUNCHER)):
            wire, vmi = self._attachment(uid(pod)), self.vmi(pod)
            has_begun = wire is not None or (machine_files.run_folder(self._paths, uid(pod)) / "qmp.sock").exists()
            if has_begun and vmi is not None and get(pod, "status", "phase") in ("Pending", "Running"):
                self._follow(pod, vmi, wire)

    async def stop(self) -> None:
        """Stop following; the machines run on."""
        await self._tasks.stop()
        await asyncio.gather(*(watch.stop() for watch in self._watches.values()))
        self._watches.clear()

    def _pod_changed(self, kind: str, pod: Object) -> None:
        if kind == "DELETED" and uid(pod) in self._watches:
            self._tasks.start(self._forget(uid(pod)), f"forget {name(pod)}")

    async def _forget(self, pod_uid: str) -> None:
        watch = self._watches.pop(pod_uid, None)
        self._pins.forget(self._container(pod_uid))
        self._writing.pop(pod_uid, None)
        if watch is not None:
            self._written.pop(watch.machine.uid, None)
            await watch.stop()

    def _vmi_changed(self, kind: str, vmi: Object) -> None:
        """The controller may have said Scheduled after the machine was up: then it is ours to say Running."""
        if kind == "DELETED":
            return
        for watch in self.watches(vmi):
            if not watch.is_home(vmi):
                watch.dormant = True
            elif watch.dormant:
                self._tasks.start(self._wake(watch, vmi), f"wake {watch.machine.name}")
            else:
                watch.look_at_links(vmi)
                watch.wish(vmi)
                if get(vmi, "status", "phase") == "Scheduled":
                    self._changed(watch)
                self._plugging.begin(watch)

    async def _wake(self, watch: Watch, vmi: Object) -> None:
        """The guest has come to this launcher, as ready as it was in the other."""
        await watch.wake(vmi, conditions.is_true(get(vmi, "status", "conditions", default=[]), "Ready"))
        self._changed(watch)

    def watches(self, vmi: Object) -> list[Watch]:
        """The machines that are followed of an instance: two while it moves, else one."""
        return [one for one in self._watches.values() if one.machine.uid == uid(vmi)]

    def rewired(self, pod_uid: str, attachment: Attachment) -> None:
        """The pod of a machine that runs has other cards on further networks now: the machine shall have them too."""
        if watch := self._watches.get(pod_uid):
            watch.observe(links=attachment.links)
            self._plugging.begin(watch)

    # what should be --------------------------------------------------------------------------------------

    def nic(self, pod: Object, search: tuple[str, ...] = (), servers: tuple[str, ...] = ()) -> MachineNic | None:
        """The card that the network makes for a launcher pod's machine. Raises Problem for what cannot be."""
        vmi = self._owner(pod)
        return self._resting.nic(vmi, machine_nic(vmi, search, servers))

    async def desired(
        self, pod: Object, prepared: Mapping[str, PreparedVolume], attachment: Attachment | None
    ) -> ContainerSpec:
        """The container that runs the machine of a launcher pod; writes its seeds and makes its folders.

        Raises Problem when it cannot be made; the VMI's condition Synchronized then tells why too.
        """
        vmi = self._owner(pod)
        watch = self._follow(pod, vmi, attachment)
        await self._settle()
        try:
            late, ports = await self._held(pod)
            machine = replug.without(vmi, late)
            return await self._pins.bind(vmi, self._desired(watch, machine, pod, prepared, attachment, ports))
        except Problem as problem:
            watch.observe(trouble=(problem.reason or "FailedCreate", str(problem)))
            raise

    async def _settle(self) -> None:
        """Wait until it is known whether KVM works: a machine is never begun on a guess."""
        if self._settled is not None:
            self._facts = await self._settled()

    async def _held(self, pod: Object) -> tuple[Mapping[str, Place], tuple[str, ...]]:
        """Of a machine that moves to this launcher: what was plugged in and is not there from the start, and what sits
        in its root ports."""
        source = self._watches.get(self.source_of(pod))
        if source is None:
            return {}, ()
        return await qemu.late_devices(source.qmp), await qemu.ports(source.qmp)

    async def replug(self, source: Watch, target: Watch, vmi: Object) -> None:
        """Give a machine that waits for its guest what the guest has beyond its start. Raises Problem."""
        pod = self._cache.get(POD, target.machine.namespace, target.machine.pod) or {}
        await replug.replug(target.qmp, vmi, await qemu.late_devices(source.qmp),
                            lambda volume: self._volumes.plugged(volume, pod), self._attachment(uid(pod)))  # fmt: skip

    def _desired(
        self, watch: Watch, vmi: Object, pod: Object, prepared: Mapping[str, PreparedVolume],
        attachment: Attachment | None, ports: tuple[str, ...],
    ) -> ContainerSpec:
        _check_ready(vmi, prepared)
        folders = machine_files.ensure_root(self._paths.machine_root)
        run = machine_files.ensure_run(self._paths, uid(pod))
        lookup = self._lookup(namespace(pod))
        seeds = machine_files.write_seeds(self._paths, pod, vmi, lookup, nics(vmi, attachment))
        tables = machine_files.write_tables(self._paths, pod, vmi, lookup)
        volumes = {**prepared, **seeds, **tables}
        machine = replug.arriving(machine_spec(vmi, volumes, attachment, self._facts, self._config()), vmi, pod,
                                  ports)
        machine_checks.check_programs(vmi, machine, self._facts)
        machine_checks.check_memory(vmi, machine)
        if few := machine_checks.few_ports(machine, self._facts):
            self._note(watch, "Warning", "FewPorts", few)
        machine = self._resting.awaken(vmi, uid(pod), machine, volumes, self._facts)
        if vain := cpu.in_vain(machine):
            why = f"without KVM the guest's processor does not show {', '.join(vain)}"
            self._note(watch, "Warning", "NotEmulated", why)
        around = Surroundings(
            name=self._container(uid(pod)), rootfs=str(self._paths.machine_root), run=str(run),
            netns=attachment.netns_path if attachment else "", folders=folders, labels=self._labels(pod),
        )
        return container_spec(vmi, pod, machine, volumes.values(), around)

    def _config(self) -> Object:
        """What the KubeVirt object says of all machines."""
        found = self._cache.get(KUBEVIRT, kubevirt_config.NAMESPACE, kubevirt_config.NAME)
        return kubevirt_config.configuration_of(found)

    def _container(self, pod_uid: str) -> str:
        return f"vmpod-{self._paths.id}-{pod_uid}-{COMPUTE}"

    def _labels(self, pod: Object) -> dict[str, str]:
        return {
            labels_.HOME: self._paths.id, labels_.POD: uid(pod), labels_.CONTAINER: COMPUTE, labels_.ATTEMPT: "0",
            labels_.NAMESPACE: namespace(pod), labels_.POD_NAME: name(pod),
        }

    def _lookup(self, where: str) -> Callable[[str, str], Object | None]:
        kinds = {"Secret": SECRET, "ConfigMap": CONFIGMAP}
        return lambda kind, wanted: self._cache.get(kinds[kind], where, wanted)

    def _owner(self, pod: Object) -> Object:
        vmi = self.vmi(pod)
        if vmi is None:
            raise Problem(f"start the machine of pod {name(pod)}", "its VirtualMachineInstance is gone")
        return vmi

    def source_of(self, pod: Object) -> str:
        """The uid of the launcher that a machine comes from to this one; empty for a machine that starts here."""
        vmi = self.vmi(pod)
        return comes_from(pod, self._cache.owned(POD, uid(vmi))) if vmi is not None else ""

    def vmi(self, pod: Object) -> Object | None:
        """The VirtualMachineInstance of a launcher pod, None when it is gone."""
        owner = controller_of(pod) or {}
        found = self._cache.get(VIRTUALMACHINEINSTANCE, namespace(pod), str(owner.get("name", "")))
        return found if found is not None and uid(found) == owner.get("uid") else None

    # what is seen ----------------------------------------------------------------------------------------

    def _follow(self, pod: Object, vmi: Object, attachment: Attachment | None) -> Watch:
        watch = self._watches.get(uid(pod))
        if watch is None:
            folder = machine_files.run_folder(self._paths, uid(pod))
            lease = self._paths.network / "leases" / attachment.netns if attachment else None
            machine = Machine(namespace(vmi), name(vmi), uid(vmi), name(pod), uid(pod), folder, lease,
                              is_target=JOB in labels(pod))  # fmt: skip
            seen, dormant = _remembered(vmi, attachment), not is_active(vmi, pod)
            if dormant:
                seen = replace(seen, run_state="", guest=Guest())
            watch = Watch(machine, vmi, seen, self._changed, self._note, self._around, dormant=dormant)
            watch.held = is_moving_unpaused(vmi)  # an earlier engine may have stopped it for that
            self._watches[uid(pod)] = watch
            watch.start()
        return watch

    def _owner_changed(self, kind: str, owner: Object) -> None:
        if kind == "DELETED":
            self._resting.sweep()

    def _secret_changed(self, kind: str, secret: Object) -> None:
        for watch in self._watches.values():
            if self._around.needs(watch, secret):
                watch.keeper.look()

    def _attachment(self, pod_uid: str) -> Attachment | None:
        return next((one for one in self._network.attachments() if one.pod_uid == pod_uid), None)

    def pod_ready(self, pod_uid: str) -> bool | str:
        """Whether a launcher pod is ready: True, or why not."""
        watch = self._watches.get(pod_uid)
        return machine_status.is_ready(watch.seen) if watch else "the machine was not seen yet"

    def _changed(self, watch: Watch) -> None:
        self._plugging.begin(watch)
        self._enqueue((watch.machine.namespace, watch.machine.pod))
        self._tasks.start(self._write(watch), f"status of {watch.machine.name}")

    async def _write(self, watch: Watch) -> None:
        """Bring the VMI's status up to what is seen; a conflicting write is looked at anew."""
        lock = self._writing.setdefault(watch.machine.pod_uid, asyncio.Lock())
        async with lock:
            vmi = self._cache.get(VIRTUALMACHINEINSTANCE, watch.machine.namespace, watch.machine.name)
            if vmi is not None and revision(vmi) < self._written.get(watch.machine.uid, 0):
                vmi = await self._read(watch)  # by what was there before, there might be nothing to take back
            for _ in range(_TRIES):
                if vmi is None or uid(vmi) != watch.machine.uid or not watch.is_home(vmi):
                    return
                if watch.dormant or not await self._write_once(watch, vmi):
                    return
                vmi = await self._read(watch)

    async def _write_once(self, watch: Watch, vmi: Object) -> bool:
        """Whether to try again with the newest object."""
        await self._settle()
        wanted = annotations_of(vmi).get(ACCELERATOR, "")
        emulated = machine_status.emulation_reason(self._facts.accelerator, self._facts.accelerator_reason, wanted)
        pod = self._cache.get(POD, watch.machine.namespace, watch.machine.pod)
        fresh = machine_status.status(
            vmi, pod, watch.seen, emulated=emulated, now=self._clock.now(),
            claim=lambda wanted: self._cache.get(PERSISTENTVOLUMECLAIM, watch.machine.namespace, wanted),
        )
        if fresh is None or fresh == vmi.get("status"):
            return False
        try:
            stored = await self._client.update(VIRTUALMACHINEINSTANCE, {**vmi, "status": fresh}, subresource="status")
        except status.ApiError as error:
            return error.code == 409
        self._written[watch.machine.uid] = revision(stored)
        return False

    async def _read(self, watch: Watch) -> Object | None:
        try:
            return await self._client.get(VIRTUALMACHINEINSTANCE, watch.machine.namespace, watch.machine.name)
        except status.ApiError:
            return None

    def _note(self, watch: Watch, kind: str, reason: str, message: str) -> None:
        about = self._cache.get(VIRTUALMACHINEINSTANCE, watch.machine.namespace, watch.machine.name)
        if about is not None:
            self._tasks.start(self._events.record(Note(kind, reason, message, about)), f"event {reason}")

    # the end ---------------------------------------------------------------------------------------------

    async def power_down(self, pod_uid: str) -> None:
        """Press the machine's power button until it is gone; returns at once, or when the memory of one that is to
        rest is kept. Without a machine: nothing.

        A launcher that its guest has left, or has not reached, is ended: there is nobody to hear the button.
        """
        watch = self._watches.get(pod_uid) or self._find(pod_uid)
        if watch is not None and watch.dormant:
            await watch.end()
        elif watch is not None and not await self._resting.rest(watch, self._attachment(pod_uid)):
            watch.power_down()

    def _find(self, pod_uid: str) -> Watch | None:
        """A machine that is not followed yet, as just after the start of an engine."""
        for pod in self._cache.list(POD, selector=from_map(_LAUNCHER)):
            vmi = self.vmi(pod) if uid(pod) == pod_uid else None
            if vmi is not None:
                return self._follow(pod, vmi, self._attachment(pod_uid))
        return None

    async def ended(self, pod: Object, exit_code: int) -> None:
        """QEMU has ended: say how (Succeeded or Failed), with its last words when it crashed."""
        vmi = self.vmi(pod)
        await self._resting.keep(pod, vmi, failed=exit_code != 0 and not is_deleting(pod))
        if vmi is None or get(vmi, "status", "phase") in machine_status.FINAL or not is_active(vmi, pod):
            if vmi is not None and exit_code and is_awaiting(vmi, pod):
                await self._tell_lost(pod, vmi, exit_code)
            await self._forget(uid(pod))
            self._enqueue((namespace(pod), name(pod)))
            return
        watch = self._follow(pod, vmi, None)
        await watch.stop()
        wished = watch.seen.stop_wished or "deletionTimestamp" in (pod.get("metadata") or {})
        seen = replace(watch.seen, run_state="", exit_code=exit_code, stop_wished=wished)
        watch.seen = seen
        self._tell_end(watch, seen, await self._last_words(uid(pod)) if exit_code else "")
        await self._write(watch)
        await self._forget(uid(pod))
        self._enqueue((namespace(pod), name(pod)))

    async def _tell_lost(self, pod: Object, vmi: Object, exit_code: int) -> None:
        """QEMU has ended before the guest that it waited for came."""
        words = await self._last_words(uid(pod))
        text = f"The launcher {name(pod)} could not take the guest (QEMU exited with {exit_code}). {words}".strip()
        await self._events.record(Note("Warning", "FailedMigration", text, vmi))

    def _tell_end(self, watch: Watch, seen: Observed, words: str) -> None:
        if seen.exit_code and not (seen.stop_wished or seen.guest_stopped):
            text = f"The VirtualMachineInstance crashed (QEMU exited with {seen.exit_code})."
            self._note(watch, "Warning", "Stopped", f"{text} {words}".strip())
        else:
            self._note(watch, "Normal", "Stopped", "The VirtualMachineInstance was shut down.")

    async def _last_words(self, pod_uid: str) -> str:
        try:
            found = await self._podman.containers({labels_.POD: pod_uid, labels_.CONTAINER: COMPUTE})
            if not found:
                return ""
            lines = [line async for line in self._podman.logs(found[-1], Wanted(tail=_LAST_LINES))]
        except (Problem, OSError):
            return ""
        return b"".join(lines).decode(errors="replace").strip()

    # streams ---------------------------------------------------------------------------------------------

    async def open(self, ref: Ref, verb: str, params: Mapping[str, Any]) -> Stream:
        """console, vnc, usbredir or portforward. Raises ApiError (400 while the machine does not run)."""
        watch = self._running(ref)
        try:
            match verb:
                case "console":
                    return await watch.console.take()
                case "vnc":
                    return await _take_screen(watch, preserve=bool(params.get("preserveSession")))
                case "usbredir":
                    return await _take_usb(watch)
                case "portforward":
                    return await self._open_port(watch, params)
        except OSError as error:
            raise status.internal(f"{verb} of {ref.name}: {error or type(error).__name__}") from None
        raise status.bad_request(f"there is no {verb} of a machine")

    async def _open_port(self, watch: Watch, params: Mapping[str, Any]) -> Stream:
        port, protocol = int(params["port"]), str(params.get("protocol") or "tcp").lower()
        if not watch.seen.ip:
            raise status.bad_request(f"VMI {watch.machine.name} has no address")
        opener = open_udp if protocol == "udp" else open_tcp
        return await opener(watch.seen.ip, port)

    async def ask(self, ref: Ref, verb: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """pause, unpause, reset, softreboot, guestosinfo, userlist, filesystemlist, screenshot. Raises ApiError."""
        return await machine_asks.ask(self._running(ref), verb, params)

    def _running(self, ref: Ref) -> Watch:
        vmi = self._cache.get(VIRTUALMACHINEINSTANCE, ref.namespace, ref.name)
        if vmi is None:
            raise status.not_found("virtualmachineinstances.kubevirt.io", ref.name)
        watch = self.up(vmi)
        if watch is None:
            raise status.bad_request(_NOT_RUNNING)
        return watch

    def up(self, vmi: Object) -> Watch | None:
        """The machine of an instance while its QEMU answers."""
        found = (one for one in self.watches(vmi) if one.seen.is_up and one.is_home(vmi))
        return next(found, None)


def _remembered(vmi: Object, attachment: Attachment | None) -> Observed:
    """What is known before the machine answers: ready as it was, so that a new engine takes no one off a service."""
    known = get(vmi, "status", "conditions", default=[])
    was_running = get(vmi, "status", "phase") == "Running"
    card = get(vmi, "status", "interfaces", 0, default={})
    return Observed(
        run_state="running" if was_running and conditions.is_true(known, "Ready") else "",
        machine_type=str(get(vmi, "status", "machine", "type", default="")) if was_running else "",
        ips=attachment.ips if attachment else tuple(card.get("ipAddresses") or ()),
        mac=attachment.guest_mac if attachment else str(card.get("mac") or ""),
        links=attachment.links if attachment else (),
        down=machine_links.down(vmi),
        guest=Guest(connected=conditions.is_true(known, "AgentConnected")),
        ready=conditions.is_true(known, "Ready") if was_running else None,
        credentials=_known_trouble(conditions.find(known, "AccessCredentialsSynchronized")),
        plugged={one["name"]: (str(one.get("phase", "")), str(one.get("reason", "")), str(one.get("message", "")))
                 for one in get(vmi, "status", "volumeStatus", default=()) if "hotplugVolume" in one},
    )


def _known_trouble(told: Object | None) -> str | None:
    return str(told.get("message", "")) if told is not None else None


async def _take_screen(watch: Watch, *, preserve: bool) -> Seated:
    if preserve and watch.screen.is_taken:
        raise status.unavailable("Active VNC connection. Request denied.")
    return await watch.screen.take()


async def _take_usb(watch: Watch) -> Seated:
    """The first free of the machine's USB ports for clients; nobody's is taken away."""
    seat = next((seat for seat in watch.usb if not seat.is_taken), None)
    if seat is None:
        raise status.unavailable("All USB devices are in use.")
    return await seat.take()


def _check_ready(vmi: Object, prepared: Mapping[str, PreparedVolume]) -> None:
    for volume, one in prepared.items():
        if one.pending:
            raise Problem(f"start the machine {name(vmi)}", f"volume {volume!r}: {one.pending}", reason="FailedMount")
