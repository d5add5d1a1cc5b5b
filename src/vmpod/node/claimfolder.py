"""Where the volume of a claim lies on this machine."""

from __future__ import annotations

from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.client.cache import Cache
from vmpod.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM
from vmpod.model.meta import get, name
from vmpod.node.translate import claim as claims
from vmpod.reconcile.loop import Key


def folder_of(cache: Cache, paths: Paths, key: Key, what: str) -> Path:
    """The folder of a claim that is bound. `what` cannot be done without: raises Problem."""
    claim = cache.get(PERSISTENTVOLUMECLAIM, *key) or {}
    volume = cache.get(PERSISTENTVOLUME, "", str(get(claim, "spec", "volumeName") or "")) or {}
    if not claims.is_bound_to(volume, claim):
        raise Problem(what, f"the claim {key[1]} is gone or not bound", "kubectl get pvc", "NotFound")
    if claims.is_ours(volume):
        return paths.volume(name(volume))
    path = get(volume, "spec", "hostPath", "path") or get(volume, "spec", "local", "path")
    if not path:
        raise Problem(what, f"the volume {name(volume)} of the claim {key[1]} is of a kind not known here")
    return Path(path)
