"""Whose memory a machine starts with: what objects say is not believed further than it can be checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from vmpod.base.paths import Paths
from vmpod.base.tasks import Tasks
from vmpod.client.cache import Cache
from vmpod.drivers.net.attachments import MachineNic
from vmpod.kinds import VIRTUALMACHINE
from vmpod.model.meta import Object
from vmpod.node import saves
from vmpod.node.resting import Resting
from vmpod.reconcile.events import Recorder

CONTENT = "11111111-2222-3333-4444-555555555555"
VMI: Object = {"metadata": {"namespace": "default", "name": "a", "ownerReferences": [{"kind": "VirtualMachine", "name": "a"}]}}


class View:
    """A local view with one machine."""

    def __init__(self, **annotations: str) -> None:
        self.vm = {"metadata": {"name": "a", "namespace": "default", "uid": "u", "annotations": annotations}}

    def get(self, kind: Any, namespace: str, name: str) -> Object | None:
        return self.vm if (kind, namespace, name) == (VIRTUALMACHINE, "default", "a") else None


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path)
    made.create()
    for namespace, content in (("default", CONTENT), ("other", CONTENT.replace("1", "9"))):
        saves.begin_snapshot(made, content).write_text("memory")
        record = {"namespace": namespace, "machine": "a", "mac": "02:00:00:00:00:01", "ip": "10.1.0.7"}
        saves.finish_snapshot(made, content, record)
    return made


@pytest.mark.parametrize(
    ("given", "is_believed"),
    [(CONTENT, True), (CONTENT.replace("1", "9"), False), (f"../snapshots/{CONTENT}", False), (".", False), ("", False)],
)
def test_memory_is_found_by_a_uid_in_the_machines_namespace(paths: Paths, given: str, is_believed: bool) -> None:
    view = View(**{"vmpod.io/memory-of": given, "restore.kubevirt.io/lastRestoreUID": "r"})
    resting = Resting(cast(Cache, view), paths, cast(Recorder, None), Tasks())
    card = resting.nic(VMI, MachineNic())
    assert card == (MachineNic(mac="02:00:00:00:00:01", address="10.1.0.7") if is_believed else MachineNic())
