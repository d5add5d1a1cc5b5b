"""What only this process knows of the pods: pulls, failed steps, ends under way. Nothing here must survive it."""

from __future__ import annotations

from datetime import datetime

from vmpod.node.prepared import PreparedVolume
from vmpod.node.seen import ImageState, Memory, Trouble


class PodMemory:
    """The notes on one pod."""

    def __init__(self) -> None:
        self.images: dict[str, ImageState] = {}
        self.volumes: dict[str, PreparedVolume] | None = None
        self.mounting: Trouble | None = None
        self.mount_failures = 0
        self.creation: dict[str, Trouble] = {}
        self.starts: dict[str, Trouble] = {}
        self.network: Trouble | None = None
        self.stopping: dict[str, datetime] = {}
        self.hooks: dict[str, str] = {}
        self.messages: dict[str, str] = {}
        self.warned = False
        self.told: set[str] = set()

    def snapshot(self) -> Memory:
        """The notes as they are now, for a plan."""
        return Memory(
            images=dict(self.images), volumes=None if self.volumes is None else dict(self.volumes),
            mounting=self.mounting, creation=dict(self.creation), starts=dict(self.starts), network=self.network,
            stopping=dict(self.stopping), hooks=dict(self.hooks), messages=dict(self.messages),
            told=frozenset(self.told),
        )  # fmt: skip

    def forget_container(self, id: str) -> None:
        for notes in (self.starts, self.stopping, self.hooks, self.messages):
            notes.pop(id, None)


class Memories:
    """The notes on all pods, and which pod of which name each uid is or was."""

    def __init__(self) -> None:
        self._pods: dict[str, PodMemory] = {}
        self._keys: dict[str, tuple[str, str]] = {}

    def of(self, uid: str) -> PodMemory:
        return self._pods.setdefault(uid, PodMemory())

    def know(self, uid: str, key: tuple[str, str]) -> None:
        """Something of this pod is, or will be, on this host."""
        self._keys[uid] = key

    def key(self, uid: str) -> tuple[str, str] | None:
        return self._keys.get(uid)

    def uids(self, key: tuple[str, str]) -> list[str]:
        """All pods of a name of which there may be something."""
        return [uid for uid, known in self._keys.items() if known == key]

    def forget(self, uid: str) -> None:
        self._pods.pop(uid, None)
        self._keys.pop(uid, None)
