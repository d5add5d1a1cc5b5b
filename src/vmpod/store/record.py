"""What is stored and what is told about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vmpod.base.errors import Problem

EventType = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, slots=True)
class Record:
    """One object as stored. `value` is its JSON text, with `revision` as its resourceVersion."""

    resource: str
    namespace: str
    name: str
    revision: int
    value: bytes
    labels: Mapping[str, str]
    uid: str

    @property
    def key(self) -> tuple[str, str]:
        """Where it stands within its resource: (namespace, name)."""
        return self.namespace, self.name


@dataclass(frozen=True, slots=True)
class Event:
    """One committed write. `previous` is what it replaced; of a deletion, `record` is the last state."""

    type: EventType
    record: Record
    previous: Record | None
    revision: int


class Exists(Problem):
    """The name is taken."""


class Missing(Problem):
    """No object has this name."""


class Conflict(Problem):
    """The object is at another revision than the writer thought."""


class Compacted(Problem):
    """The revision to resume from is no longer known, or the watcher fell too far behind: list again."""
