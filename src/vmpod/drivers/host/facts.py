"""What this machine is, measured; the slow part once per boot."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import platform
import resource
import shutil
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from vmpod.base import log, proc
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.base.tasks import Tasks
from vmpod.drivers.host import accelerator, firmware, oci, sharing
from vmpod.drivers.host.firmware import Firmware

_PROGRAMS = (accelerator.PROGRAM, "podman", "nft", "crun", "runc", "qemu-img")
_SHARED = Path("/run/vmpod")  # what root's homes on this machine share
_log = log.get("host")


@dataclass(frozen=True)
class HostFacts:
    """What the node needs to know of its machine. An empty version means: not installed."""

    accelerator: str = "tcg"
    accelerator_reason: str = ""
    oci_runtime: str = ""
    oci_runtime_reason: str = ""
    qemu_version: str = ""
    podman_version: str = ""
    nft_version: str = ""
    cgroup_version: int = 2
    memory_bytes: int = 0
    cpus: int = 1
    hostname: str = ""
    kernel: str = ""
    architecture: str = ""
    os_id: str = ""
    os_name: str = ""
    machine_id: str = ""
    boot_id: str = ""
    is_root: bool = False
    has_tun: bool = False
    open_files: int = 65536
    br_netfilter: bool = False
    ip_forward: bool = False
    firmware: tuple[Firmware, ...] = ()
    virtiofsd: str = ""
    numa_nodes: int = 1

    @property
    def has_kvm(self) -> bool:
        return self.accelerator == "kvm"


@dataclass(frozen=True)
class _Probed:
    """The slow part. `key` says for which boot and which programs it holds."""

    key: str
    accelerator: str
    accelerator_reason: str
    oci_runtime: str
    oci_runtime_reason: str
    qemu_version: str
    podman_version: str
    nft_version: str


def quick() -> HostFacts:
    """What the kernel and the file system tell at once."""
    release = os_release()
    return HostFacts(
        cgroup_version=oci.cgroup_version(), memory_bytes=memory("MemTotal"), cpus=os.cpu_count() or 1,
        hostname=platform.node(), kernel=platform.release(), architecture=platform.machine(),
        os_id=release.get("ID", ""), os_name=release.get("PRETTY_NAME", "Linux"),
        machine_id=_text(Path("/etc/machine-id")), boot_id=_text(Path("/proc/sys/kernel/random/boot_id")),
        is_root=os.geteuid() == 0, has_tun=Path("/dev/net/tun").exists(),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        br_netfilter=_text(Path("/proc/sys/net/bridge/bridge-nf-call-iptables")) == "1",
        ip_forward=_text(Path("/proc/sys/net/ipv4/ip_forward")) == "1", firmware=firmware.find(),
        virtiofsd=sharing.find(),
        numa_nodes=len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) or 1,
    )  # fmt: skip


async def probe(paths: Paths) -> HostFacts:
    """All facts. Guests and containers are tried once per boot and installed version, for all homes of root."""
    trials = Trials(paths)
    try:
        return await trials.all()
    finally:
        await trials.stop()


class Trials:
    """Trials under way. What containers need is known in a moment; a KVM that hangs its guest costs two seconds,
    for which only machines wait."""

    def __init__(self, paths: Paths) -> None:
        self._facts = quick()
        self._key = _key(self._facts.boot_id)
        self._file = _shared_file(paths)
        self._tasks = Tasks()
        known = _recall(self._file, self._key)
        self._programs: asyncio.Task[_Probed] = self._tasks.start(
            _kept(known) if known else _try_programs(self._key), "trial of programs")
        self._all: asyncio.Task[_Probed] = self._tasks.start(
            _kept(known) if known else self._try_all(), "trial of the accelerator")

    async def programs(self) -> HostFacts:
        """Everything but the accelerator, which may still read tcg."""
        return self._with(await asyncio.shield(self._programs))

    async def all(self) -> HostFacts:
        """Everything."""
        return self._with(await asyncio.shield(self._all))

    async def stop(self) -> None:
        """Give up what is under way."""
        await self._tasks.stop()

    def _with(self, probed: _Probed) -> HostFacts:
        return replace(self._facts, **{name: value for name, value in asdict(probed).items() if name != "key"})

    async def _try_all(self) -> _Probed:
        chosen = await accelerator.probe()
        found = replace(await self._programs, accelerator=chosen.accelerator, accelerator_reason=chosen.reason)
        _remember(self._file, found)
        _log.info("accelerator %s: %s", found.accelerator, found.accelerator_reason)
        return found


async def _kept(probed: _Probed) -> _Probed:
    return probed


async def _try_programs(key: str) -> _Probed:
    runtime, qemu, podman, nft = await asyncio.gather(
        oci.probe(), _version([accelerator.PROGRAM, "--version"], 3), _version(["podman", "--version"], 2),
        _version(["nft", "--version"], 1),
    )
    return _Probed(key, "tcg", "", runtime.runtime, runtime.reason, qemu, podman, nft.removeprefix("v"))


def _shared_file(paths: Paths) -> Path:
    """Root's homes share what was found; another user cannot be trusted with it."""
    return (_SHARED if os.geteuid() == 0 else paths.run) / "host.json"


async def _version(argv: list[str], word: int) -> str:
    """The version in the first line of what a program says of itself; empty when it is missing."""
    try:
        words = (await proc.run(argv, timeout_s=10)).text.splitlines()[0].split()
    except (Problem, IndexError):
        return ""
    return words[word] if len(words) > word else ""


def _key(boot_id: str) -> str:
    """This boot and these programs: an upgrade is noticed by the file's time."""
    found = [shutil.which(name) for name in _PROGRAMS]
    times = ",".join(str(os.stat(path).st_mtime_ns) if path else "-" for path in found)
    kvm = f"{int(accelerator.DEVICE.exists())}{int(os.access(accelerator.DEVICE, os.W_OK))}"
    return f"{boot_id} {os.geteuid()} {kvm} {times}"


def _recall(file: Path, key: str) -> _Probed | None:
    try:
        probed = _Probed(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return probed if probed.key == key else None


def _remember(file: Path, probed: _Probed) -> None:
    file.parent.mkdir(mode=0o755 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    fresh.write_text(json.dumps(asdict(probed)))
    fresh.replace(file)


def memory(field: str) -> int:
    """A line of /proc/meminfo in bytes: MemTotal, MemAvailable, SwapFree …; 0 when it is not there."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    return 0


def memory_to_give() -> int:
    """Bytes that a new process could have: what is available, and free swap."""
    return memory("MemAvailable") + memory("SwapFree")


@cache
def processor() -> str:
    """Which processor this is, with all that it can do, in few words."""
    first = _text(Path("/proc/cpuinfo")).partition("\n\n")[0]
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
    flags = hashlib.sha256(told.get("flags", "").encode()).hexdigest()[:8]
    return f"{told.get('model name', platform.machine())} ({flags})"


def huge_pages_folder(size: int) -> Path:
    """Where the kernel counts its pages of that many bytes."""
    return Path(f"/sys/kernel/mm/hugepages/hugepages-{size >> 10}kB")


def huge_pages_to_give(size: int) -> int:
    """How many pages of that size nobody has or was promised; none where the kernel has no such pages.

    A guest touches its pages as it needs them: until then they count as free, and are reserved for it.
    """
    free, promised = (int(_text(huge_pages_folder(size) / name) or 0) for name in ("free_hugepages", "resv_hugepages"))
    return free - promised


def os_release() -> dict[str, str]:
    """/etc/os-release as a table; empty when there is none."""
    for file in (Path("/etc/os-release"), Path("/usr/lib/os-release")):
        if file.exists():
            pairs = (line.partition("=") for line in file.read_text().splitlines() if "=" in line)
            return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}
    return {}


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
