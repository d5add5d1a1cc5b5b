"""A pod's volumes on this host: folders for containers, disk images for machines."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.client.cache import Cache
from vmpod.drivers.disks import formats, overlay
from vmpod.kinds import (
    CONFIGMAP,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    POD,
    SECRET,
    VIRTUALMACHINEINSTANCE,
)
from vmpod.kinds.parts import kernel_boot, machine_state
from vmpod.kinds.parts.api_access import api_access
from vmpod.kinds.parts.migration import comes_from
from vmpod.model import quantity
from vmpod.model.meta import Object, controller_of, get, labels, name, namespace, uid
from vmpod.node import claimdisk, claimusers, machine_files, ownership, saves, shown
from vmpod.node.claimdisk import QEMU_UID, ClaimDisk
from vmpod.node.containerdisks import ContainerDisks
from vmpod.node.datafiles import write_files
from vmpod.node.prepared import PreparedVolume
from vmpod.node.shown import ShownDisks
from vmpod.node.tokens import Tokens
from vmpod.node.translate import claim as claims
from vmpod.node.translate import files
from vmpod.node.translate.machine import KERNELS, STATE
from vmpod.node.translate.machine_shares import SHARES, shared

_MADE_BY_MACHINES = ("cloudInitNoCloud", "cloudInitConfigDrive", "configMap", "secret", "serviceAccount",
                     "downwardAPI", "sysprep", "downwardMetrics")  # fmt: skip
_HOST_TYPES = {"Directory": os.path.isdir, "File": os.path.isfile, "Socket": os.path.exists,
               "CharDevice": os.path.exists, "BlockDevice": os.path.exists}  # fmt: skip


class Volumes:
    """Prepares volumes when a pod starts and at each look at it, and removes them with the pod.

    `look_again(pod_uid)` asks for a look at a pod that has lost a disk.
    """

    def __init__(
        self, cache: Cache, paths: Paths, disks: ContainerDisks, tokens: Tokens,
        look_again: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._cache = cache
        self._tokens = tokens
        self._paths = paths
        self._disks = disks
        self._shown = ShownDisks(paths, look_again)
        self.warnings: dict[str, str] = {}  # pod uid → what to tell about its images
        self.freezing: set[str] = set()  # volumes whose disk is being exchanged: nobody may begin to use them

    async def prepare(self, pod: Object) -> dict[str, PreparedVolume]:
        """All volumes of a pod, by name; each may be `pending`. Repeating it changes only what changed.

        Raises Problem for what waiting cannot mend.
        """
        if labels(pod).get("kubevirt.io") == "virt-launcher":
            return await self._prepare_machine(pod)
        made = {one["name"]: await self._prepare(one, pod) for one in get(pod, "spec", "volumes", default=[])}
        group, policy = ownership.wanted(pod)
        if group is not None:
            for one in get(pod, "spec", "volumes", default=[]):
                if ownership.is_owned(one) and not made[one["name"]].pending:
                    await asyncio.to_thread(ownership.give, made[one["name"]].path, group, policy)
        return made

    async def refresh(self, pod: Object) -> None:
        """Let what a pod that runs sees of objects follow them; a machine's disks stay as they are. Raises Problem."""
        if labels(pod).get("kubevirt.io") != "virt-launcher":
            await self.prepare(pod)
        elif vmi := self._instance_of(pod):
            for one in get(vmi, "spec", "volumes", default=()):
                if one["name"] in shared(vmi):
                    await self._share(one, pod)

    def outdated(self) -> Iterable[str]:
        """The pods whose tokens are to be replaced: `refresh` does that."""
        return self._tokens.due()

    async def release(self, pod_uid: str) -> None:
        """Remove what the pod had for itself; claims stay."""
        self.warnings.pop(pod_uid, None)
        self._tokens.forget(pod_uid)
        await shown.hide(self._paths, pod_uid)
        await asyncio.to_thread(saves.give_back, self._paths, pod_uid)
        await asyncio.to_thread(shutil.rmtree, self._paths.pod(pod_uid), True)

    # containers

    async def _prepare(self, volume: Object, pod: Object) -> PreparedVolume:
        folder = self._paths.pod(uid(pod)) / "volumes" / volume["name"]
        try:
            content = files.files(volume, pod, self._lookup(pod), await self._tokens.of(volume, pod, folder))
        except Problem as problem:
            return PreparedVolume(folder, pending=problem.why)
        if content is not None:
            await asyncio.to_thread(write_files, folder, content)
            return PreparedVolume(folder, readonly=True)
        if "hostPath" in volume:
            return _host_path(volume["hostPath"])
        if "persistentVolumeClaim" in volume:
            return await self._claim_for_pod(volume, pod)
        if "emptyDir" in volume:
            folder.mkdir(mode=0o777, parents=True, exist_ok=True)
            folder.chmod(0o777)
            return PreparedVolume(folder)
        kind = next((key for key in volume if key != "name"), "none")
        return PreparedVolume(folder, pending=f"volumes of the kind {kind} are not supported")

    def _lookup(self, pod: Object) -> files.Lookup:
        kinds = {"ConfigMap": CONFIGMAP, "Secret": SECRET}
        return lambda kind, wanted: self._cache.get(kinds[kind], namespace(pod), wanted)

    def _claim(self, source: Object, pod: Object) -> PreparedVolume:
        found = self._bound(source["claimName"], pod)
        if isinstance(found, str):
            return PreparedVolume(self._paths.volumes, pending=found)
        readonly = bool(source.get("readOnly")) or self._is_read_only(source["claimName"], pod)
        return PreparedVolume(found, readonly=readonly)

    async def _claim_for_pod(self, volume: Object, pod: Object) -> PreparedVolume:
        """The folder of a claim; of one that holds a machine's disk, a folder with that disk as raw bytes in it."""
        found = self._claim(volume["persistentVolumeClaim"], pod)
        if found.pending or not await asyncio.to_thread(claimdisk.is_disk, self._paths, found.path):
            return found
        wanted = str(volume["persistentVolumeClaim"]["claimName"])
        read_only = self._is_read_only(wanted, pod)
        disk = await asyncio.to_thread(claimdisk.find, self._paths, found.path)
        if disk is None or disk.format == "raw":
            return found
        if pending := self._in_use(wanted, pod, found.path, read_only=read_only):
            return PreparedVolume(found.path, pending=pending)
        writable = not read_only and claimusers.writes(pod, wanted)
        file = await self._shown.show(uid(pod), volume["name"], disk.images, writable=writable)
        return PreparedVolume(file.parent, readonly=not writable, file=file)

    def _is_read_only(self, claim: str, pod: Object) -> bool:
        return claimusers.is_read_only(self._cache.get(PERSISTENTVOLUMECLAIM, namespace(pod), claim) or {})

    def _bound(self, wanted: str, pod: Object) -> Path | str:
        """The folder of a claim that is bound and filled, else why it cannot be used yet."""
        claim = self._cache.get(PERSISTENTVOLUMECLAIM, namespace(pod), wanted)
        if claim is None:
            return f'persistentvolumeclaim "{wanted}" not found'
        volume = self._cache.get(PERSISTENTVOLUME, "", get(claim, "spec", "volumeName") or "")
        if volume is None or get(claim, "status", "phase") != "Bound":
            return f'persistentvolumeclaim "{wanted}" is not bound'
        if pending := claims.is_import_pending(claim):
            return pending
        pods = self._cache.list(POD, namespace(pod))
        if user := claimusers.sole_user(claim, pod, pods):
            return f"the claim {wanted} is ReadWriteOncePod and in use by the pod {user}"
        if user := claimusers.elsewhere(claim, pod, pods):
            return f'Multi-Attach error for volume "{name(volume)}" Volume is already used by pod(s) {user}'
        if name(volume) in self.freezing:
            return f"the content of the claim {wanted} is being copied"
        if claims.is_ours(volume):
            return self._paths.volume(name(volume))
        path = get(volume, "spec", "hostPath", "path") or get(volume, "spec", "local", "path")
        return Path(path) if path else f'persistentvolume "{name(volume)}" is of a kind that is not supported'

    # machines

    async def _prepare_machine(self, pod: Object) -> dict[str, PreparedVolume]:
        owner = controller_of(pod) or {}
        vmi = self._cache.get(VIRTUALMACHINEINSTANCE, namespace(pod), owner.get("name", ""))
        if vmi is None or uid(vmi) != owner.get("uid"):
            raise Problem(f"start the machine of pod {name(pod)}", "its VirtualMachineInstance is gone")
        if source := comes_from(pod, self._cache.owned(POD, uid(vmi))):
            await asyncio.to_thread(machine_files.share, self._paths, source, uid(pod))
        volumes = get(vmi, "spec", "volumes", default=[])
        folders = shared(vmi)
        disks = [one for one in volumes if one["name"] not in folders]
        mine = [one for one in disks if not any(key in one for key in _MADE_BY_MACHINES)]
        made = {one["name"]: await self._disk(one, pod, vmi) for one in mine}
        made |= {one["name"]: await self._folder(one, pod) for one in disks if "serviceAccount" in one}
        made |= {one["name"]: await self._share(one, pod) for one in volumes if one["name"] in folders}
        kept = [one for one in get(pod, "spec", "volumes", default=()) if one["name"] == machine_state.VOLUME]
        made |= {one["name"]: self._state(one["persistentVolumeClaim"]["claimName"], pod) for one in kept}
        boot = kernel_boot.kernel_boot(vmi["spec"])
        return made | ({kernel_boot.VOLUME: await self._kernel(boot["container"], pod)} if boot else {})

    async def _share(self, volume: Object, pod: Object) -> PreparedVolume:
        """A folder that the guest mounts: a claim's, or one of objects as a container would get it."""
        found = await self._folder(volume, pod)
        if found.pending:
            return found
        inside = f"{SHARES}/{volume['name']}"
        bind = (str(found.path), inside, found.readonly)
        return PreparedVolume(found.path, found.readonly, "", inside, binds=(bind,))

    async def _folder(self, volume: Object, pod: Object) -> PreparedVolume:
        if claim := get(volume, "persistentVolumeClaim", "claimName") or get(volume, "dataVolume", "name"):
            known = self._cache.get(PERSISTENTVOLUMECLAIM, namespace(pod), claim) or {}
            if get(known, "spec", "volumeMode") == "Block":
                why = f"the claim {claim} is a block device, and no folder"
                return PreparedVolume(self._paths.volumes, pending=why)
            return self._claim({**volume.get("persistentVolumeClaim", {}), "claimName": claim}, pod)
        if "serviceAccount" in volume:
            return await self._prepare({"name": volume["name"], "projected": api_access()}, pod)
        mounted = {one["name"]: one for one in get(pod, "spec", "volumes", default=())}
        return await self._prepare(mounted.get(volume["name"], volume), pod)

    async def _kernel(self, source: Object, pod: Object) -> PreparedVolume:
        """The files of a kernel, each under the name of its field: the image's own names are not used."""
        secrets = [source["imagePullSecret"]] if source.get("imagePullSecret") else []
        binds = []
        for key in kernel_boot.PATHS:
            if not source.get(key):
                continue
            file, warning = await self._disks.member(
                source["image"], source[key], policy=source.get("imagePullPolicy") or "", namespace=namespace(pod),
                secrets=secrets,
            )  # fmt: skip
            if warning:
                self.warnings[uid(pod)] = warning
            binds.append((str(file), f"{KERNELS}/{key}", True))
        return PreparedVolume(self._paths.bases, readonly=True, container_path=KERNELS, binds=tuple(binds))

    def _state(self, claim: str, pod: Object) -> PreparedVolume:
        """The folder of a claim as a whole: what is in it, the container alone goes through."""
        folder = self._bound(claim, pod)
        if isinstance(folder, str):
            return PreparedVolume(self._paths.volumes, pending=folder)
        return PreparedVolume(folder, container_path=STATE, binds=((str(folder), STATE, False),))

    async def plugged(self, volume: Object, pod: Object) -> PreparedVolume:
        """A disk for a machine that runs already. Raises Problem when it cannot be used."""
        return await self._disk(volume, pod, self._instance_of(pod) or {})

    async def _disk(self, volume: Object, pod: Object, vmi: Object) -> PreparedVolume:
        own = self._paths.pod(uid(pod)) / "disks" / f"{volume['name']}.qcow2"
        if disk := volume.get("containerDisk"):
            return await self._container_disk(disk, own, pod)
        if claim := get(volume, "ephemeral", "persistentVolumeClaim", "claimName"):
            return await self._ephemeral(claim, own, pod)
        if claim := get(volume, "persistentVolumeClaim", "claimName") or get(volume, "dataVolume", "name"):
            readonly = bool(get(volume, "persistentVolumeClaim", "readOnly")) or self._is_read_only(claim, pod)
            return await self._claimed_disk(claim, pod, readonly=readonly)
        if disk := volume.get("emptyDisk"):
            await overlay.make_blank(own, quantity.to_bytes(disk["capacity"]), uid=QEMU_UID)
            return self._pod_disk(own)
        if disk := volume.get("hostDisk"):
            return await _host_disk(disk, volume["name"])
        kind = next((key for key in volume if key != "name"), "none")
        return PreparedVolume(own, pending=f"volumes of the kind {kind} are not supported")

    async def _container_disk(self, disk: Object, own: Path, pod: Object) -> PreparedVolume:
        """An overlay on what the image holds; one that is there, as of a machine that moves, keeps its base."""
        base = machine_files.base_of(self._paths, own)
        if base is not None:
            return self._pod_disk(own, base)
        secrets = [disk["imagePullSecret"]] if disk.get("imagePullSecret") else []
        base, warning = await self._disks.base(
            disk["image"], policy=disk.get("imagePullPolicy") or "", path=disk.get("path") or "",
            namespace=namespace(pod), secrets=secrets,
        )  # fmt: skip
        if warning:
            self.warnings[uid(pod)] = warning
        machine_files.note_base(own, base)
        await overlay.make_overlay(own, base, uid=QEMU_UID)
        return self._pod_disk(own, base)

    async def _ephemeral(self, claim: str, own: Path, pod: Object) -> PreparedVolume:
        beneath = await self._claimed_disk(claim, pod)
        if beneath.pending:
            return beneath
        await overlay.make_overlay(own, beneath.path, uid=QEMU_UID, format=beneath.format)
        made = self._pod_disk(own)
        binds = tuple((host, inside, True) for host, inside, _ in beneath.binds)
        return PreparedVolume(made.path, False, "", made.container_path, "qcow2", (*made.binds, *binds))

    def _pod_disk(self, path: Path, base: Path | None = None) -> PreparedVolume:
        """A disk of the pod's own; inside the container it lies as deep as outside, so that a relative
        backing path leads to the base there too."""
        inside = f"/disks/pods/{path.parent.parent.name}/disks"
        binds = [(str(path.parent), inside, False)]
        if base is not None:
            binds.append((str(base), f"/disks/disks/bases/{base.name}", True))
        return PreparedVolume(path, False, "", f"{inside}/{path.name}", "qcow2", tuple(binds))

    async def _claimed_disk(self, claim: str, pod: Object, *, readonly: bool = False) -> PreparedVolume:
        """The image in a claim's folder; an empty claim gets a blank disk of its size (KubeVirt: disk.img)."""
        folder = self._bound(claim, pod)
        if isinstance(folder, str):
            return PreparedVolume(self._paths.volumes, pending=folder)
        if pending := self._in_use(claim, pod, folder, read_only=self._is_read_only(claim, pod)):
            return PreparedVolume(self._paths.volumes, pending=pending)
        disk = await asyncio.to_thread(claimdisk.find, self._paths, folder)
        if disk is None:
            found = self._cache.get(PERSISTENTVOLUMECLAIM, namespace(pod), claim) or {}
            disk = await claimdisk.make(self._paths, folder, claims.size_bytes(found))
        claimdisk.give_to_qemu(disk.path)
        return _claim_image(disk, readonly=readonly)

    def _in_use(self, claim: str, pod: Object, folder: Path, *, read_only: bool = False) -> str:
        """For whom a claim's disk must be left: two that write one disk would destroy it. Empty when for nobody."""
        pods, holders = self._cache.list(POD, namespace(pod)), shown.users(self._paths, folder.name)
        user = claimusers.blocked_by(claim, pod, pods, self._instance_of, holders=holders, read_only=read_only)
        alive = {uid(one) for one in pods if get(one, "status", "phase") not in claimusers.ENDED}
        if not user and holders - alive:
            user = "a pod that has ended, and is being cleaned up after"
        return f"the disk on the claim {claim} is in use by {user}" if user else ""

    def _instance_of(self, pod: Object) -> Object | None:
        owner = controller_of(pod) or {}
        if owner.get("kind") != VIRTUALMACHINEINSTANCE.kind:
            return None
        return self._cache.get(VIRTUALMACHINEINSTANCE, namespace(pod), str(owner.get("name", "")))


def _claim_image(disk: ClaimDisk, *, readonly: bool) -> PreparedVolume:
    """The whole folder is shown: a link in it then leads to nothing of the host's."""
    inside = f"/disks/disks/volumes/{disk.path.parent.name}"
    binds = [(str(disk.path.parent), inside, readonly)]
    for one in disk.beneath:
        if one.layer:
            binds.append((str(one.path.parent), f"/disks/disks/layers/{one.layer}", True))
        else:
            binds.append((str(one.path), f"/disks/disks/bases/{one.path.name}", True))
    beneath = tuple((one.path, one.format) for one in disk.beneath)
    return PreparedVolume(disk.path, readonly, "", f"{inside}/{disk.path.name}", disk.format, tuple(binds), beneath)


async def _host_disk(disk: Object, volume: str) -> PreparedVolume:
    """A raw disk file of the host (KubeVirt: hostDisk), made when the type is DiskOrCreate."""
    path = Path(disk["path"])
    if not os.path.lexists(path):
        if disk.get("type") != "DiskOrCreate":
            return PreparedVolume(path, pending=f"hostDisk {path} does not exist")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as made:
            made.truncate(quantity.to_bytes(disk.get("capacity") or "0"))
    if not stat.S_ISBLK(path.lstat().st_mode):
        formats.size_of(path)
    claimdisk.give_to_qemu(path)
    inside = f"/disks/host/{volume}/{path.name}"
    return PreparedVolume(path, False, "", inside, "raw", ((str(path), inside, False),))


def _host_path(source: Object) -> PreparedVolume:
    """A path of the host, checked or made as its `type` says (Kubernetes: hostPath)."""
    path, kind = Path(source["path"]), source.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    test = _HOST_TYPES.get(kind, os.path.exists)
    if not test(path):
        return PreparedVolume(path, pending=f"hostPath type check failed: {path} is not a {kind or 'path'}")
    return PreparedVolume(path)
