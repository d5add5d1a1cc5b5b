"""Every path of a home, named once. What lies where is told in docs/explanation/runtime-dir.md."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_SOCKET_ROOM = 60  # of the 107 bytes of a unix socket address, what names below `run` and pods/<uid>/run take


@dataclass(frozen=True)
class Paths:
    """The files of one engine. `home` is absolute and without symbolic links."""

    home: Path

    @classmethod
    def of(cls, env: Mapping[str, str] | None = None) -> Paths:
        """The home named by VMPOD_HOME, else `vmpod` in the user's XDG data folder."""
        env = os.environ if env is None else env
        if env.get("VMPOD_HOME"):
            return cls(Path(env["VMPOD_HOME"]).expanduser().resolve())
        user = Path(env.get("HOME") or Path.home())
        return cls((Path(env.get("XDG_DATA_HOME") or user / ".local" / "share") / "vmpod").resolve())

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that tell homes on one machine apart: labels, device and table names."""
        return hashlib.sha256(os.fsencode(self.home)).hexdigest()[:8]

    @property
    def settings(self) -> Path:
        return self.home / "home.json"

    @property
    def kubeconfig(self) -> Path:
        return self.home / "kubeconfig"

    @property
    def pki(self) -> Path:
        return self.home / "pki"

    @property
    def database(self) -> Path:
        return self.home / "store.db"

    @property
    def engine_lock(self) -> Path:
        return self.home / "engine.lock"

    @property
    def engine_pid(self) -> Path:
        return self.home / "engine.pid"

    @property
    def engine_log(self) -> Path:
        return self.home / "engine.log"

    @property
    def bases(self) -> Path:
        """Base images, read-only, named by the SHA-256 of their content."""
        return self.home / "disks" / "bases"

    @property
    def volumes(self) -> Path:
        """Persistent volumes, one folder each."""
        return self.home / "disks" / "volumes"

    def volume(self, name: str) -> Path:
        return self.volumes / name

    def volume_base(self, name: str) -> Path:
        """Which base a volume's disk lies on: beside its folder, where neither containers nor guests write."""
        return self.volumes / f"{name}.base"

    @property
    def layers(self) -> Path:
        """Frozen disks that snapshots and the disks above them share: one folder each, and a record beside it."""
        return self.home / "disks" / "layers"

    def layer(self, id: str) -> Path:
        return self.layers / id

    def layer_base(self, id: str) -> Path:
        """What a layer lies on, in the words of a volume's record."""
        return self.layers / f"{id}.base"

    def layer_held(self, id: str) -> Path:
        """While this file is there a snapshot needs the layer."""
        return self.layers / f"{id}.held"

    @property
    def archives(self) -> Path:
        return self.home / "archives"

    @property
    def staging(self) -> Path:
        """Half-made things; emptied when an engine starts."""
        return self.home / "disks" / "staging"

    @property
    def pods(self) -> Path:
        return self.home / "pods"

    def pod(self, uid: str) -> Path:
        return self.pods / uid

    @property
    def memory(self) -> Path:
        """What machines had in memory when they were stopped, one folder each: only the engine opens it."""
        return self.home / "memory"

    def saved(self, namespace: str, machine: str) -> Path:
        return self.memory / f"{namespace}_{machine}"

    @property
    def snapshots(self) -> Path:
        """Memory that snapshots hold, one folder each."""
        return self.home / "snapshots"

    @property
    def network(self) -> Path:
        return self.home / "network"

    @property
    def machine_root(self) -> Path:
        """The root file system that all compute containers share, empty but for mount points and links."""
        return self.home / "machine-root"

    @property
    def run(self) -> Path:
        """Sockets and pid files of the engine's own helpers; short enough for a socket address."""
        if len(os.fsencode(self.home)) <= _SOCKET_ROOM:
            return self.home / "run"
        return Path("/run/vmpod") / self.id

    @property
    def podman_socket(self) -> Path:
        return self.run / "podman.sock"

    @property
    def podman_pid(self) -> Path:
        return self.run / "podman.pid"

    @property
    def device_nodes(self) -> Path:
        return self.run / "devices"

    def create(self) -> None:
        """Make the folders of the home. Nobody but its owner enters it: containers and QEMU see what is bound for
        them in mount namespaces of their own, and need no way through it."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.home.chmod(0o700)
        for folder in (self.pki, self.network, self.run, self.staging, self.memory, self.snapshots):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.bases, self.layers, self.volumes, self.pods):
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
