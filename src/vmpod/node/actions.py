"""What a plan of the node may ask for: a closed union of frozen values, executed by `node.work`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vmpod.model.meta import Object
from vmpod.reconcile.actions import Note


@dataclass(frozen=True)
class Attach:
    """Put the pod on the network."""

    pod: Object


@dataclass(frozen=True)
class Rewire:
    """Bring the further cards of a pod that runs to what its annotation names; the others are not touched."""

    pod: Object


@dataclass(frozen=True)
class Detach:
    """Take a pod off the network; its address is free again."""

    uid: str


@dataclass(frozen=True)
class HideDisks:
    """Take the disks of claims that are shown to a pod from it; others may use them again."""

    uid: str


@dataclass(frozen=True)
class PrepareVolumes:
    """Make the pod's volumes ready, as far as they can be."""

    pod: Object


@dataclass(frozen=True)
class PullImage:
    """Have the image of one attempt of a container here, by its pull policy. Runs on in the background."""

    pod: Object
    container: str
    attempt: int


@dataclass(frozen=True)
class CreateContainer:
    """Make one attempt of a container. `backoff_s` is how long its end will keep the next one waiting."""

    pod: Object
    container: str
    attempt: int
    backoff_s: int


@dataclass(frozen=True)
class StartContainer:
    """Start what `CreateContainer` made. `id` is empty when both stand in one plan."""

    pod: Object
    container: str
    attempt: int
    id: str = ""


@dataclass(frozen=True)
class RunPostStart:
    """Run the hook that a container has just after its start. Runs on in the background."""

    pod: Object
    container: str


@dataclass(frozen=True)
class StartProbes:
    """Begin to probe a running container; `was_ready` is what an earlier engine knew of it."""

    pod: Object
    container: str
    id: str
    was_ready: bool


@dataclass(frozen=True)
class StopProbes:
    """Probe a container no more."""

    id: str


@dataclass(frozen=True)
class StopContainer:
    """End a running container: pre-stop hook, stop signal, and KILL at `deadline`. Runs on in the background.

    `message` is told as a Killing event, empty for none.
    """

    pod: Object
    container: str
    id: str
    deadline: datetime
    message: str


@dataclass(frozen=True)
class TellNetworks:
    """Write into the pod's annotation which networks it is on, as Multus does."""

    pod: Object
    text: str


@dataclass(frozen=True)
class TellMachine:
    """The container of a launcher has ended: its machine shall know."""

    pod: Object
    id: str
    exit_code: int


@dataclass(frozen=True)
class RemoveContainer:
    """Delete a container, running or not."""

    id: str
    uid: str


@dataclass(frozen=True)
class CleanUp:
    """Take away all that is left of a pod which has no object: containers, network, volumes, folder."""

    uid: str


@dataclass(frozen=True)
class FinishDeletion:
    """The pod has ended and nothing is left of it here: delete the object."""

    pod: Object


NodeAction = (
    Attach | Rewire | Detach | HideDisks | PrepareVolumes | PullImage | CreateContainer | StartContainer | RunPostStart
    | StartProbes | StopProbes | StopContainer | TellMachine | TellNetworks | RemoveContainer | CleanUp | FinishDeletion
)  # fmt: skip


@dataclass(frozen=True)
class NodePlan:
    """The next safe steps on this host; `again_in` seconds later the pod is looked at anew."""

    actions: tuple[NodeAction, ...] = ()
    again_in: float | None = None
    events: tuple[Note, ...] = ()
