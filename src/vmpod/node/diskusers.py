"""Which machine runs on a claim, and what it calls that disk."""

from __future__ import annotations

from vmpod.client.cache import Cache
from vmpod.kinds import POD, VIRTUALMACHINEINSTANCE
from vmpod.kinds.parts.hotplug import source_name
from vmpod.model.meta import Object, controller_of, get

_ENDED = ("Succeeded", "Failed")


def machine_on(cache: Cache, where: str, claim: str) -> tuple[Object, str] | None:
    """The instance whose launcher has not ended, and the name of its volume on the claim."""
    for pod in cache.list(POD, where):
        owner = controller_of(pod) or {}
        if owner.get("kind") != VIRTUALMACHINEINSTANCE.kind or get(pod, "status", "phase") in _ENDED:
            continue
        vmi = cache.get(VIRTUALMACHINEINSTANCE, where, str(owner.get("name")))
        for volume in get(vmi, "spec", "volumes", default=()):
            if vmi is not None and source_name(volume) == claim:
                return vmi, str(volume["name"])
    return None
