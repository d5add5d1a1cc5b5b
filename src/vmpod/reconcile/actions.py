"""What a plan may ask for: a closed union of frozen values, executed by `reconcile.apply`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vmpod.kinds.kind import Kind
from vmpod.model.meta import Object


@dataclass(frozen=True)
class Create:
    """Create `obj` (its namespace is in its metadata). One that exists and has the same controller is success."""

    kind: Kind
    obj: Object


@dataclass(frozen=True)
class Patch:
    """Apply a JSON merge patch (RFC 7386). With `metadata.resourceVersion` in it, only onto that revision."""

    kind: Kind
    namespace: str
    name: str
    patch: Object
    subresource: str = ""


@dataclass(frozen=True)
class Replace:
    """Write the whole of `obj` over the revision it carries."""

    kind: Kind
    obj: Object
    subresource: str = ""


@dataclass(frozen=True)
class Delete:
    """Delete the object with this uid. One that is gone already is success.

    `grace_s` in seconds (None: the kind's own), `propagation` Background, Foreground or Orphan.
    """

    kind: Kind
    namespace: str
    name: str
    uid: str
    grace_s: int | None = None
    propagation: str = ""


Action = Create | Patch | Replace | Delete


@dataclass(frozen=True)
class Note:
    """An Event to record about an object. `type` is Normal or Warning, `reason` a CamelCase word.

    The same note about the same object is counted, not repeated.
    """

    type: str
    reason: str
    message: str
    about: Object


@dataclass(frozen=True)
class Plan:
    """The next safe steps, in order; empty when the present is as wished.

    `again_in` seconds later the key is looked at anew, whatever happens.
    """

    actions: tuple[Action, ...] = ()
    again_in: float | None = None
    events: tuple[Note, ...] = ()


class Planned(Protocol):
    """What the loop needs of a plan; the node has one of its own with its own actions."""

    @property
    def actions(self) -> Sequence[Any]: ...

    @property
    def again_in(self) -> float | None: ...

    @property
    def events(self) -> Sequence[Note]: ...
