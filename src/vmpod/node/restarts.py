"""When an ended container runs again, as the kubelet decides (CrashLoopBackOff)."""

from __future__ import annotations

from datetime import datetime, timedelta

from vmpod.drivers.podman.container import Container
from vmpod.model.meta import Object
from vmpod.node.seen import BACKOFF, Seen, is_sidecar, restart_policy

FIRST_S = 10
LONGEST_S = 300
RESET_S = 600  # an attempt that was made longer ago than this starts the count anew


def runs_again(seen: Seen, container: Object, ended: Container, *, init: bool) -> bool:
    """Whether the restart policy wants another attempt after this one."""
    assert seen.pod is not None
    if init and is_sidecar(container):
        return True
    policy = restart_policy(seen.pod)
    if policy == "Never":
        return False
    if policy == "OnFailure" or init:
        return seen.exit_code(ended) != 0
    return True


def due(seen: Seen, ended: Container) -> datetime:
    """When the next attempt may be made."""
    finished = ended.finished or ended.created
    if seen.now - ended.created > timedelta(seconds=RESET_S):
        return finished
    return finished + timedelta(seconds=_label(ended))


def next_backoff_s(seen: Seen, before: Container | None) -> int:
    """What the next attempt is labelled with: the first one's end has no pause, then 10 s, doubling to 300 s."""
    if before is None:
        return 0
    if seen.now - before.created > timedelta(seconds=RESET_S):
        return FIRST_S
    return min(LONGEST_S, max(FIRST_S, 2 * _label(before)))


def pause_s(ended: Container) -> int:
    """The whole pause after this attempt, as the waiting message tells it."""
    return max(FIRST_S, _label(ended))


def _label(one: Container) -> int:
    text = one.labels.get(BACKOFF, "0")
    return int(text) if text.isdecimal() else 0
