"""The pods at which exports are answered, and the disks on their way out.

An exporter pod has a network namespace and nothing in it but a socket of ours: the API answers there, and is reached
by the name of the export's Service. A disk that is read is read by a child process (`vmpod.drivers.disks.stream`);
when the pod goes, because a machine wants its disk back or the export is over, whoever downloads is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from vmpod.base import clock as clocks
from vmpod.base import log
from vmpod.base.clock import SystemClock
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.client.cache import Cache
from vmpod.client.client import Client
from vmpod.drivers.disks import formats, overlay
from vmpod.drivers.disks.stream import Job
from vmpod.drivers.net.attachments import Attachment
from vmpod.kinds import PERSISTENTVOLUMECLAIM, POD
from vmpod.model.meta import Object, controller_of, get, is_deleting, name, namespace, uid
from vmpod.model.status import internal, unavailable
from vmpod.node import claimdisk, netns
from vmpod.node.claimdisk import ClaimDisk
from vmpod.node.claimfolder import folder_of
from vmpod.node.exporters import is_exporter
from vmpod.node.translate import claim as claims
from vmpod.reconcile import apply as shell
from vmpod.reconcile.actions import Delete, Note, Patch
from vmpod.reconcile.events import Recorder
from vmpod.reconcile.loop import Key, Loop, Watch, Written, key_of

PORT = 8443
_PIECE_BYTES = 1 << 20
_STDOUT = 1
_log = log.get("exports")


class Net(Protocol):
    """What of the network driver is needed here."""

    async def attach(self, pod_uid: str) -> Attachment: ...

    async def detach(self, pod_uid: str) -> None: ...


class Door(Protocol):
    """Answers on a socket until it is told to stop."""

    async def stop(self) -> None: ...


Serve = Callable[[socket.socket, Key, str], Awaitable[Door]]  # the socket, the export, and the name of its Service


@dataclass(frozen=True)
class Seen:
    """A pod (None: gone), and the uids of pods of its name at whose address is answered."""

    pod: Object | None
    open: tuple[str, ...]


@dataclass(frozen=True)
class Open:
    """Put the pod on the network and answer there."""

    pod: Object


@dataclass(frozen=True)
class Close:
    """Cut off who downloads, and take the pod off the network."""

    uid: str


@dataclass(frozen=True)
class ExportPlan:
    """The next steps for one pod."""

    actions: tuple[Open | Close | Delete, ...] = ()
    again_in: float | None = None
    events: tuple[Note, ...] = ()


def plan(seen: Seen) -> ExportPlan:
    """Answer at the pod that there is, and at no other."""
    pod = seen.pod
    stale = tuple(Close(one) for one in seen.open if pod is None or one != uid(pod) or is_deleting(pod))
    if pod is None:
        return ExportPlan(stale)
    if is_deleting(pod):
        return ExportPlan((*stale, Delete(POD, namespace(pod), name(pod), uid(pod), 0)))
    is_told = uid(pod) in seen.open and get(pod, "status", "phase") == "Running"
    return ExportPlan(stale if is_told else (*stale, Open(pod)))


def running(pod: Object, ips: Sequence[str], host_ip: str, now: datetime) -> Object:
    """The status of a pod at which is answered."""
    moment = clocks.rfc3339(now)
    types = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    container = get(pod, "spec", "containers", 0, default={})
    return {
        "phase": "Running", "hostIP": host_ip, "podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips],
        "startTime": moment,
        "conditions": [{"type": type, "status": "True", "lastTransitionTime": moment} for type in types],
        "containerStatuses": [{
            "name": container.get("name"), "image": container.get("image"), "imageID": "", "ready": True,
            "started": True, "restartCount": 0, "state": {"running": {"startedAt": moment}}}],
    }  # fmt: skip


class Exports:
    """`serve` answers on the sockets that are opened here; `host_ip` is the node's address."""

    def __init__(
        self, client: Client, cache: Cache, paths: Paths, network: Net, recorder: Recorder, serve: Serve, host_ip: str
    ) -> None:
        self._client = client
        self._cache = cache
        self._paths = paths
        self._network = network
        self._serve = serve
        self._host_ip = host_ip
        self._clock = SystemClock()
        self._doors: dict[str, tuple[Key, Door]] = {}
        self._streams: dict[str, set[DiskStream]] = {}
        self._loop: Loop[Seen, ExportPlan] = Loop(
            "exports", POD, (Watch(POD, _own),), self._gather, plan, None, self._apply, cache, client, recorder,
            self._clock,
        )  # fmt: skip

    async def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        """Answer no more; the pods stay, and the next engine answers at them again."""
        await self._loop.stop()
        for pod_uid in list(self._doors):
            await self._shut(pod_uid)

    def _gather(self, key: Key, cache: Cache, now: datetime) -> Seen | None:
        pod = cache.get(POD, *key)
        if pod is not None and not _own(pod):
            pod = None
        found = tuple(pod_uid for pod_uid, (held, _) in self._doors.items() if held == key)
        return Seen(pod, found) if pod is not None or found else None

    async def _apply(self, action: Any) -> Written | None:
        match action:
            case Open(pod):
                return await self._open(pod)
            case Close(pod_uid):
                await self._shut(pod_uid)
                await self._network.detach(pod_uid)
                return None
            case Delete(_, _, _, pod_uid):
                await self._network.detach(pod_uid)  # also of a pod at which this engine never answered
                return await shell.apply(self._client, action)
            case _:
                return await shell.apply(self._client, action)

    async def _open(self, pod: Object) -> Written | None:
        attachment = await self._network.attach(uid(pod))
        if uid(pod) not in self._doors:
            listener = await netns.listen(attachment.netns_path, PORT)
            export = str((controller_of(pod) or {}).get("name", ""))
            host = f"{name(pod)}.{namespace(pod)}.svc"
            try:
                door = await self._serve(listener, (namespace(pod), export), host)
            except BaseException:
                listener.close()
                raise
            self._doors[uid(pod)] = (key_of(pod), door)
        told = running(pod, attachment.ips, self._host_ip, self._clock.now())
        return await shell.apply(self._client, Patch(POD, namespace(pod), name(pod), {"status": told}, "status"))

    async def _shut(self, pod_uid: str) -> None:
        for stream in list(self._streams.pop(pod_uid, ())):
            await stream.close()
        _, door = self._doors.pop(pod_uid, (None, None))
        if door is not None:
            await door.stop()

    # disks on their way out

    async def open(self, key: Key, params: Mapping[str, Any]) -> DiskStream:
        """The disk of a claim, as `params` ask: `pod` is the exporter pod's uid, `packing` gzip, tar or empty, `start`
        and `end` the bytes of the disk that are wanted. Raises ApiError."""
        pod_uid, packing = str(params["pod"]), str(params.get("packing") or "")
        if pod_uid not in self._doors:
            raise unavailable("the export is paused")
        try:
            argv, size = await self._read(key, packing, int(params.get("start") or 0), int(params.get("end", -1)))
        except Problem as problem:
            raise internal(str(problem)) from None
        stream = DiskStream(argv, size, lambda: pod_uid in self._doors, self._forget(pod_uid))
        self._streams.setdefault(pod_uid, set()).add(stream)
        return stream

    def _forget(self, pod_uid: str) -> Callable[[DiskStream], None]:
        return lambda stream: self._streams.get(pod_uid, set()).discard(stream)

    async def _read(self, key: Key, packing: str, start: int, end: int) -> tuple[list[str], int]:
        """The command that sends it, and the size of the disk in bytes."""
        folder = folder_of(self._cache, self._paths, key, f"export the claim {key[1]}")
        if packing == "tar":
            return ["tar", "--create", "--gzip", "--sparse", "--one-file-system", "--exclude=./lost+found",
                    f"--directory={folder}", "."], 0  # fmt: skip
        disk = await asyncio.to_thread(claimdisk.find, self._paths, folder)
        if disk is None:
            claim = self._cache.get(PERSISTENTVOLUMECLAIM, *key) or {}
            disk = await claimdisk.make(self._paths, folder, claims.size_bytes(claim))
        images = tuple((str(path), format) for path, format in disk.images)
        job = json.dumps(asdict(Job(images, packing, start, end)))
        return [sys.executable, "-m", "vmpod.drivers.disks.stream", job, str(os.getpid())], await _size(disk)

    async def size_bytes(self, key: Key) -> int:
        """How large the disk of a claim is. Raises ApiError."""
        try:
            return (await self._read(key, "", 0, -1))[1]
        except Problem as problem:
            raise internal(str(problem)) from None


async def _size(disk: ClaimDisk) -> int:
    return formats.size_of(disk.path) if disk.format == "raw" else await overlay.virtual_bytes(disk.path)


def _own(pod: Object) -> Iterable[Key]:
    return (key_of(pod),) if is_exporter(pod) else ()


class DiskStream:
    """What a child process writes; bytes on channel 1. It ends with an error unless all was sent and `is_valid`."""

    def __init__(
        self, argv: list[str], size: int, is_valid: Callable[[], bool], forget: Callable[[DiskStream], None]
    ) -> None:
        self.size_bytes = size
        self._argv = argv
        self._is_valid = is_valid
        self._forget = forget
        self._process: asyncio.subprocess.Process | None = None
        self._is_closed = False

    async def receive(self) -> tuple[int, bytes] | None:
        """The next bytes; None at the end of the disk. Raises Problem when there is no more for another reason."""
        if self._process is None and not self._is_closed:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE, start_new_session=True, limit=_PIECE_BYTES,
            )  # fmt: skip
        if self._process is None or self._process.stdout is None or self._is_closed:
            raise Problem("send the disk", "the export was paused", reason="Paused")
        data = await self._process.stdout.read(_PIECE_BYTES)
        if data:
            return _STDOUT, data
        await self._check(self._process)
        return None

    async def _check(self, process: asyncio.subprocess.Process) -> None:
        said = (await process.stderr.read()).decode(errors="replace").strip() if process.stderr else ""
        code = await process.wait()
        if code != 0 or not self._is_valid():
            why = said or ("the export was paused" if self._is_closed or not code else f"it ended with {code}")
            raise Problem("send the disk", why, "vmpod engine logs", "Failed")

    async def send(self, channel: int, data: bytes) -> None:
        return None

    async def close(self) -> None:
        self._is_closed = True
        self._forget(self)
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its programs with it
            await process.wait()
