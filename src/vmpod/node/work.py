"""The thin shell of the node: executes one action of a pod's plan by the drivers.

What takes long (pulls, ends, hooks) goes on in the background and asks for another look when it is through.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Protocol, assert_never

from vmpod.base import log
from vmpod.base.clock import Clock
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.base.tasks import Tasks
from vmpod.client.cache import Cache
from vmpod.client.client import Client
from vmpod.drivers.host.facts import HostFacts
from vmpod.drivers.net.attachments import Attachment, MachineNic
from vmpod.drivers.net.config import NetworkConfig
from vmpod.drivers.net.links import LinkWish
from vmpod.drivers.podman.client import Podman
from vmpod.drivers.podman.images import Image
from vmpod.drivers.podman.spec import ContainerSpec
from vmpod.kinds import CONFIGMAP, NETWORKATTACHMENTDEFINITION, POD, SECRET, SERVICE
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.node import shown
from vmpod.node.actions import (
    Attach,
    CleanUp,
    CreateContainer,
    Detach,
    FinishDeletion,
    HideDisks,
    NodeAction,
    PrepareVolumes,
    PullImage,
    RemoveContainer,
    Rewire,
    RunPostStart,
    StartContainer,
    StartProbes,
    StopContainer,
    StopProbes,
    TellMachine,
    TellNetworks,
)
from vmpod.node.endings import Endings
from vmpod.node.hooks import HookFailed, run_hook
from vmpod.node.memory import Memories
from vmpod.node.notices import Notices
from vmpod.node.observed import Observed
from vmpod.node.prepared import PreparedVolume
from vmpod.node.probes import Probes, Subject
from vmpod.node.pulls import FIRST_S, LONGEST_S, Pulls
from vmpod.node.seen import Trouble, find_container, is_launcher, uses_host_network
from vmpod.node.translate import etc, networks
from vmpod.node.translate import pod as translation
from vmpod.node.translate.env import CONFIG_ERROR, Sources
from vmpod.node.translate.mounts import VolumeMount
from vmpod.node.translate.pod import Setting
from vmpod.node.translate.unsupported import unsupported
from vmpod.reconcile import apply as shell
from vmpod.reconcile.actions import Delete, Patch
from vmpod.reconcile.apply import Written

_log = log.get("node")
_CONFIG_PAUSE_S, _PAUSE_S = 3, 10
_OF_IMAGES = ("ErrImagePull", "InvalidImageName", "ErrImageNeverPull")
_HOSTS_RESOLV = Path("/etc/resolv.conf")


class Net(Protocol):
    """What the work on pods needs of the network."""

    config: NetworkConfig

    def attachments(self) -> list[Attachment]: ...

    async def attach(
        self, pod_uid: str, *, machine: MachineNic | None = None, wishes: Sequence[LinkWish] = (), twin_of: str = ""
    ) -> Attachment: ...

    async def rewire(self, pod_uid: str, wishes: Sequence[LinkWish]) -> Attachment: ...

    async def detach(self, pod_uid: str) -> None: ...


class VolumeStore(Protocol):
    """Who makes volumes ready."""

    async def prepare(self, pod: Object) -> dict[str, PreparedVolume]: ...

    async def refresh(self, pod: Object) -> None: ...

    def outdated(self) -> Iterable[str]: ...

    async def release(self, pod_uid: str) -> None: ...


class MachineStore(Protocol):
    """Who knows machines: what their pods' container should be, and how they end."""

    def nic(self, pod: Object, search: tuple[str, ...] = (), servers: tuple[str, ...] = ()) -> MachineNic | None: ...

    def vmi(self, pod: Object) -> Object | None: ...

    def source_of(self, pod: Object) -> str: ...

    async def desired(
        self, pod: Object, prepared: Mapping[str, PreparedVolume], attachment: Attachment | None
    ) -> ContainerSpec: ...

    def rewired(self, pod_uid: str, attachment: Attachment) -> None: ...

    async def power_down(self, pod_uid: str) -> None: ...

    async def ended(self, pod: Object, exit_code: int) -> None: ...


@dataclass(frozen=True)
class Tools:
    """Everything the work is done with."""

    client: Client
    cache: Cache
    podman: Podman
    network: Net
    machines: MachineStore
    volumes: VolumeStore
    observed: Observed
    memories: Memories
    notices: Notices
    pulls: Pulls
    probes: Probes
    endings: Endings
    paths: Paths
    facts: HostFacts
    clock: Clock
    host_ip: str


class Work:
    """Applies actions. `look_again(pod)` asks for another look at a pod."""

    def __init__(self, tools: Tools, look_again: Callable[[Object], None]) -> None:
        self._t = tools
        self._look_again = look_again
        self._preparing: dict[str, asyncio.Task[None]] = {}
        self._tasks = Tasks()

    async def stop(self) -> None:
        await self._tasks.stop()

    async def apply(self, action: NodeAction) -> Written | None:
        """Execute one action. What fails in a way that a later try may mend is noted, not raised."""
        match action:
            case Attach(pod):
                await self._attach(pod)
            case Rewire(pod):
                await self._rewire(pod)
            case Detach(uid):
                await self._t.network.detach(uid)
            case HideDisks(uid):
                await shown.hide(self._t.paths, uid)
            case PrepareVolumes(pod):
                await self._prepare(pod)
            case PullImage(pod, container, attempt):
                await self._t.pulls.ensure(pod, container, attempt, self._t.memories.of(meta.uid(pod)))
            case CreateContainer():
                await self._create(action)
            case StartContainer():
                await self._start(action)
            case RunPostStart(pod, container):
                self._post_start(pod, container)
            case StartProbes(pod, container, id, was_ready):
                subject = Subject(pod, find_container(pod, container), id, self._ip(pod))
                self._t.probes.start(subject, was_ready=was_ready)
            case StopProbes(id):
                await self._t.probes.stop(id)
            case StopContainer():
                self._t.endings.begin(action, self._ip(action.pod))
            case TellMachine(pod, id, code):
                self._t.memories.of(meta.uid(pod)).told.add(id)
                await self._t.machines.ended(pod, code)
            case TellNetworks(pod, text):
                revision = meta.metadata(pod).get("resourceVersion")
                change = {"metadata": {"resourceVersion": revision, "annotations": {networks.STATUS: text}}}
                return await shell.apply(self._t.client, Patch(POD, meta.namespace(pod), meta.name(pod), change))
            case RemoveContainer(id, uid):
                await self._remove(id, uid)
            case CleanUp(uid):
                await self.clean_up(uid)
            case FinishDeletion(pod):
                gone = Delete(POD, meta.namespace(pod), meta.name(pod), meta.uid(pod), grace_s=0)
                return await shell.apply(self._t.client, gone)
            case _:
                assert_never(action)
        return None

    def attachment(self, uid: str) -> Attachment | None:
        return next((one for one in self._t.network.attachments() if one.pod_uid == uid), None)

    def _ips(self, pod: Object) -> tuple[str, ...]:
        if uses_host_network(pod):
            return (self._t.host_ip,)
        attachment = self.attachment(meta.uid(pod))
        return attachment.ips if attachment else ()

    def _ip(self, pod: Object) -> str:
        return next(iter(self._ips(pod)), "")

    # --- surroundings -----------------------------------------------------------------------------------

    async def _attach(self, pod: Object) -> None:
        notes = self._t.memories.of(meta.uid(pod))
        if not notes.warned:
            notes.warned = True
            for said in unsupported(pod):
                self._t.notices.warn(pod, "UnsupportedField", said)
        try:
            nic = self._nic(pod) if is_launcher(pod) else None
            source = self._t.machines.source_of(pod) if is_launcher(pod) else ""
            await self._t.network.attach(
                meta.uid(pod), machine=nic, wishes=self._wishes(pod), twin_of=source)
            notes.network = None
        except Problem as problem:
            said = f"Failed to create pod sandbox: {problem}"
            self._t.notices.warn(pod, "FailedCreatePodSandBox", said)
            notes.network = self._trouble("FailedCreatePodSandBox", said, _CONFIG_PAUSE_S)

    def _nic(self, pod: Object) -> MachineNic | None:
        found = etc.guest_resolution(pod, self._t.network.config.dns_address, _hosts_own())
        return self._t.machines.nic(pod, found.searches, found.servers)

    def _wishes(self, pod: Object) -> tuple[LinkWish, ...]:
        vmi = self._t.machines.vmi(pod) if is_launcher(pod) else None
        return networks.wishes(
            pod, vmi, lambda where, wanted: self._t.cache.get(NETWORKATTACHMENTDEFINITION, where, wanted))

    async def _rewire(self, pod: Object) -> None:
        notes = self._t.memories.of(meta.uid(pod))
        try:
            attachment = await self._t.network.rewire(meta.uid(pod), self._wishes(pod))
        except Problem as problem:
            said = f"Failed to change the networks of the pod: {problem}"
            self._t.notices.warn(pod, "FailedAttachNetwork", said)
            notes.network = self._trouble("FailedAttachNetwork", said, _CONFIG_PAUSE_S)
        else:
            notes.network = None
            self._t.machines.rewired(meta.uid(pod), attachment)

    def _trouble(self, reason: str, message: str, pause_s: float, attempt: int = -1) -> Trouble:
        return Trouble(reason, message, self._t.clock.now() + timedelta(seconds=pause_s), attempt)

    async def _prepare(self, pod: Object) -> None:
        """Make the volumes; a machine's disks in the background, for an image may have to be fetched first."""
        uid = meta.uid(pod)
        if not is_launcher(pod):
            await self._prepare_now(pod)
        elif uid not in self._preparing:
            notes = self._t.memories.of(uid)
            if notes.volumes is None:
                notes.volumes = self._pending(uid, "its disks are being made")
            self._preparing[uid] = self._tasks.start(self._prepare_later(pod), f"disks of {meta.name(pod)}")

    async def _prepare_later(self, pod: Object) -> None:
        try:
            await self._prepare_now(pod)
        finally:
            self._preparing.pop(meta.uid(pod), None)
            self._look_again(pod)

    async def _prepare_now(self, pod: Object) -> None:
        notes = self._t.memories.of(meta.uid(pod))
        try:
            notes.volumes = await self._t.volumes.prepare(pod)
        except (Problem, OSError) as error:
            problem = error if isinstance(error, Problem) else _of_files(pod, error)
            self._t.notices.warn(pod, "FailedMount", str(problem))
            notes.volumes = self._pending(meta.uid(pod), problem.why)
            pause_s = min(LONGEST_S, FIRST_S * 2**notes.mount_failures)
            again = problem.reason == "ErrImagePull" and notes.mount_failures > 0
            reason = "ImagePullBackOff" if again else problem.reason if problem.reason in _OF_IMAGES else "FailedMount"
            notes.mounting = self._trouble(reason, str(problem), pause_s)
            notes.mount_failures += 1
        else:
            notes.mounting, notes.mount_failures = None, 0

    def _pending(self, uid: str, why: str) -> dict[str, PreparedVolume]:
        return {"": PreparedVolume(self._t.paths.pod(uid), pending=why)}

    # --- containers -------------------------------------------------------------------------------------

    async def _create(self, action: CreateContainer) -> None:
        pod, name = action.pod, action.container
        notes = self._t.memories.of(meta.uid(pod))
        try:
            spec = await self._specify(action)
            id = await self._t.podman.create(spec)
        except Problem as problem:
            is_config = problem.reason == CONFIG_ERROR
            reason = CONFIG_ERROR if is_config else "CreateContainerError"
            message = problem.why if is_config else str(problem)
            self._t.notices.warn(pod, "Failed", f"Error: {message}")
            pause_s = _CONFIG_PAUSE_S if is_config else _PAUSE_S
            notes.creation[name] = self._trouble(reason, message, pause_s, action.attempt)
            return
        notes.creation.pop(name, None)
        await self._t.observed.update(id)
        self._t.notices.normal(pod, "Created", f"Created container: {name}")

    async def _specify(self, action: CreateContainer) -> ContainerSpec:
        pod, uid = action.pod, meta.uid(action.pod)
        prepared = dict(self._t.memories.of(uid).volumes or {})
        attachment = self.attachment(uid)
        image = self._t.pulls.image(pod, action.container) or Image("", "", (), (), 0)
        netns = "host" if uses_host_network(pod) else attachment.netns_path if attachment else ""
        setting = Setting(
            self._t.paths.id, action.attempt, action.backoff_s, image, netns, self._sources(pod, image), prepared
        )
        if is_launcher(pod):
            spec = await self._t.machines.desired(pod, prepared, attachment)
            return translation.stamp(spec, pod, action.container, setting)
        container = find_container(pod, action.container)
        setting = await asyncio.to_thread(self._with_files, pod, container, setting)
        translated = translation.translate(pod, container, setting)
        await asyncio.to_thread(_make_mount_sources, translated.mounts)
        return translated.spec

    def _sources(self, pod: Object, image: Image) -> Sources:
        cache, where = self._t.cache, meta.namespace(pod)
        return Sources(
            configmap=lambda name: cache.get(CONFIGMAP, where, name),
            secret=lambda name: cache.get(SECRET, where, name),
            services=tuple(cache.list(SERVICE, where)), host_ip=self._t.host_ip,
            node_name=str(meta.get(pod, "spec", "nodeName", default="")),
            pod_ips=self._ips(pod), cpus=self._t.facts.cpus, memory_bytes=self._t.facts.memory_bytes,
            image_env=image.env,
        )  # fmt: skip

    def _with_files(self, pod: Object, container: Object, setting: Setting) -> Setting:
        """Write what every container gets: name resolution, and a file for its last words."""
        folder = self._t.paths.pod(meta.uid(pod)) / "etc"
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        own = _hosts_own()
        resolv, hosts = folder / "resolv.conf", folder / "hosts"
        _write(resolv, etc.resolv_conf(pod, self._t.network.config.dns_address, own))
        if not hosts.exists():
            _write(hosts, etc.hosts(pod, self._ips(pod)))
        last_words = folder / f"termination-{container['name']}-{setting.attempt}"
        _write(last_words, "")
        last_words.chmod(0o666)
        return replace(setting, resolv_conf=str(resolv), hosts=str(hosts), termination=str(last_words))

    async def _start(self, action: StartContainer) -> None:
        pod, uid = action.pod, meta.uid(action.pod)
        name = translation.container_name(self._t.paths.id, pod, action.container, action.attempt)
        one = self._t.observed.find(name)
        if one is None:  # it could not be made; the reason is noted
            return
        try:
            await self._t.podman.start(one.id)
        except Problem as problem:
            message = f"failed to start container: {problem.why}"
            self._t.notices.warn(pod, "Failed", f"Error: {message}")
            self._t.memories.of(uid).starts[one.id] = self._trouble("StartError", message, 0)
        else:
            self._t.notices.normal(pod, "Started", f"Started container {action.container}")
        await self._t.observed.update(one.id)

    def _post_start(self, pod: Object, container: str) -> None:
        running = [one for one in self._t.observed.of(meta.uid(pod)) if one.container == container and one.is_running]
        notes = self._t.memories.of(meta.uid(pod))
        for one in running[-1:]:
            notes.hooks[one.id] = "running"
            self._tasks.start(self._run_post_start(pod, container, one.id), f"post-start hook of {container}")

    async def _run_post_start(self, pod: Object, name: str, id: str) -> None:
        container, notes = find_container(pod, name), self._t.memories.of(meta.uid(pod))
        one = await self._t.observed.update(id)
        if one is None:
            return
        try:
            hook = container["lifecycle"]["postStart"]
            await run_hook(self._t.podman, hook, container, one, self._ip(pod), 3600)
            notes.hooks.pop(id, None)
        except HookFailed as failed:
            self._t.notices.warn(pod, "FailedPostStartHook", f"PostStartHook failed: {failed}")
            notes.hooks[id] = "failed"
        self._look_again(pod)

    # --- the end ----------------------------------------------------------------------------------------

    async def _remove(self, id: str, uid: str) -> None:
        await self._t.podman.remove(id)
        self._t.observed.forget(id)
        self._t.memories.of(uid).forget_container(id)

    async def clean_up(self, uid: str) -> None:
        """Take away all of a pod. What was begun is finished by repeating it."""
        if (preparing := self._preparing.get(uid)) is not None:
            preparing.cancel()
            await asyncio.wait([preparing])
        for one in self._t.observed.of(uid):
            await self._t.probes.stop(one.id)
            await self._remove(one.id, uid)
        if self.attachment(uid) is not None:
            await self._t.network.detach(uid)
        await self._t.volumes.release(uid)
        await asyncio.to_thread(_remove_folder, self._t.paths.pod(uid))
        self._t.pulls.forget(uid)
        self._t.memories.forget(uid)



def _of_files(pod: Object, error: OSError) -> Problem:
    """A file or folder that cannot be made, as with a full disk."""
    why = f"{error.strerror or error} ({error.filename})" if error.filename else str(error)
    return Problem(f"make the volumes of {meta.name(pod)}", why, "df -h", "FailedMount")


def _hosts_own() -> str:
    """How this machine itself finds names, resolv.conf(5)."""
    return _HOSTS_RESOLV.read_text() if _HOSTS_RESOLV.exists() else ""


def _write(path: Path, text: str) -> None:
    """In place: a running container has this very file mounted."""
    path.write_text(text)


def _make_mount_sources(mounts: tuple[VolumeMount, ...]) -> None:
    """Make the folders that subPaths name, and refuse one that leads out of its volume through a link."""
    for one in mounts:
        if not one.within:
            continue
        source, within = Path(one.mount.source), os.path.realpath(one.within)
        _make_folders(source, Path(one.within))
        if os.path.commonpath((os.path.realpath(source), within)) != within:
            raise Problem("create the container", f"subPath {source} leads out of its volume", reason=CONFIG_ERROR)


def _make_folders(folder: Path, within: Path) -> None:
    """Make a folder and those above it, each with the mode of its volume as the kubelet does (SafeMakeDir)."""
    missing = [one for one in (folder, *folder.parents) if one.is_relative_to(within) and not one.exists()]
    for one in reversed(missing):
        one.mkdir()
        one.chmod(within.stat().st_mode & 0o7777)


def _remove_folder(folder: Path) -> None:
    if not folder.exists():
        return
    if any(os.path.ismount(path) for path in (folder, *folder.rglob("*")) if path.is_dir() and not path.is_symlink()):
        _log.warning("%s is kept: something is mounted in it", folder)
        return
    shutil.rmtree(folder, ignore_errors=True)
