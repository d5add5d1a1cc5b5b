"""What is refused of exports, in KubeVirt's words."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.kinds import VIRTUALMACHINEEXPORT

VM = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "db"}
SNAPSHOT = {"apiGroup": "snapshot.kubevirt.io", "kind": "VirtualMachineSnapshot", "name": "s"}
CLAIM = {"kind": "PersistentVolumeClaim", "name": "data"}


def faults(spec: object, old: object = None) -> dict[str, str]:
    meta = {"name": "one", "namespace": "default"}
    before = None if old is None else {"metadata": meta, "spec": old}
    return {one.path: one.message for one in VIRTUALMACHINEEXPORT.validate({"metadata": meta, "spec": spec}, before)}


@pytest.mark.parametrize(("source", "path", "words"), [
    (VM, "", ""), (SNAPSHOT, "", ""), (CLAIM, "", ""), ({**CLAIM, "apiGroup": ""}, "", ""),
    ({**VM, "kind": "Pod"}, "spec.source.kind", "invalid kind"),
    ({**VM, "apiGroup": "apps"}, "spec.source.APIGroup", "VM API group must be kubevirt.io"),
    ({**VM, "name": ""}, "spec.source.name", "Virtual Machine name must not be empty"),
    ({**SNAPSHOT, "apiGroup": ""}, "spec.source.APIGroup", "VMSnapshot API group must be snapshot.kubevirt.io"),
    ({**SNAPSHOT, "name": ""}, "spec.source.name", "VMSnapshot name must not be empty"),
    ({**CLAIM, "apiGroup": "v1"}, "spec.source.APIGroup", "PVC API group must be missing or blank"),
    ({**CLAIM, "name": ""}, "spec.source.name", "PVC name must not be empty"),
])  # fmt: skip
def test_sources(source: dict[str, Any], path: str, words: str) -> None:
    found = faults({"source": source})
    assert list(found) == ([path] if path else [])
    assert not path or words in found[path]


def test_a_spec_does_not_change() -> None:
    assert "spec in immutable after creation" in faults({"source": CLAIM}, {"source": VM})["spec"]


def test_a_life_is_a_duration() -> None:
    assert faults({"source": VM, "ttlDuration": "1h30m"}) == {}
    assert "invalid duration" in faults({"source": VM, "ttlDuration": "soon"})["spec.ttlDuration"]
