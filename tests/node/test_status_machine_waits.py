"""What a launcher pod says while its machine's disks or card cannot be made; other pods tell by events only."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from vmpod.model.meta import Object
from vmpod.node.actions import NodePlan
from vmpod.node.prepared import PreparedVolume
from vmpod.node.seen import Memory, Trouble
from vmpod.node.status.pod import status

from .test_pods import NOW, pod, seen

PULL = Trouble("ErrImagePull", "cannot pull the image x", NOW + timedelta(seconds=10))
NET = Trouble("FailedCreatePodSandBox", "no such network", NOW + timedelta(seconds=3))
BUSY = {"d": PreparedVolume(Path("/d"), pending="the disk on the claim c is in use by the machine a")}


def waiting(memory: Memory, **labels: str) -> Object:
    of = pod(metadata={"labels": {key.replace("_", "."): text for key, text in labels.items()}})
    told = status(seen(of, memory=memory, attachment=None), NodePlan())
    assert told is not None
    return dict(told["containerStatuses"][0]["state"]["waiting"])


@pytest.mark.parametrize(("memory", "reason", "message"), [
    (Memory(mounting=PULL, volumes={}), "ErrImagePull", "cannot pull the image x"),
    (Memory(network=NET), "FailedCreatePodSandBox", "no such network"),
    (Memory(volumes=BUSY), "FailedMount", "volume d: the disk on the claim c is in use by the machine a"),
])  # fmt: skip
def test_a_machine_says_what_it_waits_for(memory: Memory, reason: str, message: str) -> None:
    assert waiting(memory, kubevirt_io="virt-launcher") == {"reason": reason, "message": message}
    assert waiting(memory) == {"reason": "ContainerCreating"}


def test_a_machine_that_is_being_made_says_nothing_else() -> None:
    making = Memory(volumes={"": PreparedVolume(Path("/"), pending="its disks are being made")})
    assert waiting(making, kubevirt_io="virt-launcher") == {"reason": "ContainerCreating"}
