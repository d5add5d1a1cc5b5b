"""Why an object is not ready yet, from its pods and from the warnings about it and about what was made for it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from vmpod.client.simple import SimpleClient
from vmpod.kinds import EVENT, POD
from vmpod.kinds.kind import Kind
from vmpod.model import conditions
from vmpod.model.meta import Object, controller_of, get, metadata, name, uid

_FRESH_S = 1.0
_PATIENT = ("ContainerCreating", "PodInitializing")
_LONGEST = 300
# What else carries the name of an object and belongs to it.
_NAMESAKES = {
    "VirtualMachine": ("VirtualMachine", "VirtualMachineInstance"),
    "DataVolume": ("DataVolume", "PersistentVolumeClaim"),
}


class Reasons:
    """Asks the engine at most once a second for the pods and the warnings of a namespace."""

    def __init__(self, client: SimpleClient) -> None:
        self._client = client
        self._known: dict[str, tuple[float, list[Object], list[Object]]] = {}

    def of(self, kind: Kind, space: str, called: str) -> str:
        """Why the object is not ready, empty when nothing tells."""
        pods, events = self._seen(space)
        return explain(kind.kind, called, pods, events)

    def _seen(self, space: str) -> tuple[list[Object], list[Object]]:
        known = self._known.get(space)
        if known is None or time.monotonic() - known[0] > _FRESH_S:
            events = self._client.list(EVENT, space, fields="type=Warning").items
            known = (time.monotonic(), self._client.list(POD, space).items, events)
            self._known[space] = known
        return known[1], known[2]


def explain(kind: str, called: str, pods: Sequence[Object], events: Iterable[Object]) -> str:
    """What the object's pods say of themselves, else the newest warning. One line."""
    mine = [pod for pod in pods if belongs(kind, called, pod)]
    said = next((why for pod in mine if (why := pod_trouble(pod))), "") or _newest(kind, called, mine, events)
    line = " ".join(said.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def belongs(kind: str, called: str, pod: Object) -> bool:
    """Whether a pod was made for the object: by its own controller, or (a deployment) by one of its replica sets."""
    if kind == "Pod":
        return name(pod) == called
    owner = controller_of(pod) or {}
    wanted = {"VirtualMachine": "VirtualMachineInstance", "Deployment": "ReplicaSet"}.get(kind, kind)
    theirs = str(owner.get("name") or "")
    return owner.get("kind") == wanted and called == (theirs.rpartition("-")[0] if kind == "Deployment" else theirs)


def pod_trouble(pod: Object) -> str:
    """What keeps a pod from running, in its own words; empty when it runs or is merely being made."""
    placed = conditions.find(get(pod, "status", "conditions", default=[]), "PodScheduled") or {}
    if placed.get("status") == "False" and placed.get("message"):
        return f"{placed.get('reason')}: {placed['message']}"
    for field in ("initContainerStatuses", "containerStatuses"):
        for one in get(pod, "status", field, default=[]):
            waiting = get(one, "state", "waiting") or {}
            if waiting.get("reason") and waiting["reason"] not in _PATIENT:
                return ": ".join(filter(None, (waiting["reason"], waiting.get("message"))))
    return ""


def _newest(kind: str, called: str, pods: Sequence[Object], events: Iterable[Object]) -> str:
    """The newest warning about the object, its namesakes or its present pods."""
    kinds, uids = _NAMESAKES.get(kind, (kind,)), {uid(pod) for pod in pods}
    found = [event for event in events if event.get("type") == "Warning" and _concerns(event, kinds, called, uids)]
    newest = max(found, key=_when, default=None)
    return f"{newest.get('reason')}: {newest.get('message')}" if newest else ""


def _concerns(event: Object, kinds: Sequence[str], called: str, uids: set[str]) -> bool:
    about = event.get("involvedObject") or {}
    return about.get("uid") in uids or (about.get("kind") in kinds and about.get("name") == called)


def _when(event: Object) -> str:
    marks = (event.get("lastTimestamp"), event.get("eventTime"), metadata(event).get("creationTimestamp"))
    return str(next(filter(None, marks), ""))
