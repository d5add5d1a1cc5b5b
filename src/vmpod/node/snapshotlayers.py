"""The layer behind a VolumeSnapshot."""

from __future__ import annotations

import re

from vmpod.base.errors import Problem
from vmpod.client.cache import Cache
from vmpod.kinds import VOLUMESNAPSHOT, VOLUMESNAPSHOTCONTENT
from vmpod.model.meta import Object, get
from vmpod.node.translate import claim as claims
from vmpod.node.translate import volumesnapshot as translate

_LAYER = re.compile(r"[0-9a-f]{32}")


def layer_of(content: Object) -> str:
    """The layer of a content of ours; empty for a handle that is none."""
    handle = str(get(content, "status", "snapshotHandle", default=""))
    is_ours = get(content, "spec", "driver") == claims.PROVISIONER
    return handle if is_ours and _LAYER.fullmatch(handle) else ""


def find_layer(cache: Cache, where: str, wanted: str) -> str | None:
    """The layer behind a VolumeSnapshot; None when there is no such snapshot. Raises Problem while it is not ready."""
    found = cache.get(VOLUMESNAPSHOT, where, wanted)
    if found is None:
        return None
    content = cache.get(VOLUMESNAPSHOTCONTENT, "", translate.content_name(found))
    if get(found, "status", "readyToUse") is not True or content is None or not layer_of(content):
        why = f"the VolumeSnapshot {where}/{wanted} is not ready to use"
        raise Problem("fill a claim from a snapshot", why, f"kubectl describe vs {wanted} -n {where}", "NotReady")
    return layer_of(content)
