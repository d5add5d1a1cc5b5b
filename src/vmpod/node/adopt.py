"""What a new engine finds on the host: running pods go on untouched, what has no object any more is cleaned up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from vmpod.base import log
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.client.cache import Cache
from vmpod.drivers.net.attachments import Attachment
from vmpod.kinds import POD
from vmpod.model import meta
from vmpod.node.memory import Memories
from vmpod.node.observed import Observed
from vmpod.node.work import Net

_log = log.get("node")


def orphans(cache: Cache, observed: Observed, attachments: Iterable[Attachment], paths: Paths) -> set[str]:
    """Uids of pods that have containers, an address or a folder here, but no object. The cache must be whole."""
    folders = {path.name for path in paths.pods.iterdir()} if paths.pods.is_dir() else set()
    here = {*observed.pods(), *(one.pod_uid for one in attachments), *folders}
    return here - {meta.uid(pod) for pod in cache.list(POD)} if here else set()


def recognize(observed: Observed, memories: Memories) -> None:
    """Note of which pod each container is, so that a look at the pod's name finds it."""
    for uid, key in observed.pods().items():
        memories.know(uid, key)


async def repair_network(cache: Cache, network: Net, is_ours: Callable[[meta.Object], bool]) -> None:
    """Make attachments whole again that a reboot of the machine took; the others are left as they are."""
    alive = {
        meta.uid(pod) for pod in cache.list(POD)
        if is_ours(pod) and meta.get(pod, "status", "phase") not in ("Succeeded", "Failed")
    }  # fmt: skip
    for attachment in network.attachments():
        if attachment.pod_uid not in alive:
            continue
        try:
            await network.attach(
                attachment.pod_uid, machine=attachment.nic, wishes=[link.wish for link in attachment.links])
        except Problem as problem:
            _log.warning("pod %s: %s", attachment.pod_uid, problem)


async def sweep(uids: Iterable[str], clean_up: Callable[[str], Awaitable[None]]) -> None:
    """Clean up after pods that are gone; one that resists does not keep the others."""
    for uid in sorted(uids):
        try:
            await clean_up(uid)
            _log.info("cleaned up after pod %s, which has no object any more", uid)
        except Problem as problem:
            _log.warning("what is left of pod %s stays: %s", uid, problem)
