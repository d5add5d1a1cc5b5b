"""What is refused of clones, in KubeVirt's words."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.kinds import VIRTUALMACHINECLONE

VM = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "db"}
COPY = {**VM, "name": "copy"}


def faults(spec: object, old: object = None) -> dict[str, str]:
    meta = {"name": "one", "namespace": "default"}
    before = None if old is None else {"metadata": meta, "spec": old}
    return {one.path: one.message for one in VIRTUALMACHINECLONE.validate({"metadata": meta, "spec": spec}, before)}


@pytest.mark.parametrize(("more", "path", "words"), [
    ({}, "", ""), ({"target": COPY}, "", ""),
    ({"source": {**VM, "kind": "VirtualMachineSnapshot", "apiGroup": "snapshot.kubevirt.io"}, "target": VM}, "", ""),
    ({"annotationFilters": ["*", "!a/*", "b/c"], "newMacAddresses": {"default": "02:00:00:12:34:56"}}, "", ""),
    ({"source": {**VM, "kind": "Pod"}}, "spec.Source.Kind", "Source kind is not supported"),
    ({"source": {**VM, "apiGroup": ""}}, "spec.Source.APIGroup", "Source's APIGroup cannot be empty"),
    ({"source": {**VM, "name": ""}}, "spec.Source.Name", "Source's name cannot be empty"),
    ({"target": {**COPY, "kind": "Pod"}}, "spec.Target.Kind", "Target kind is not supported"),
    ({"target": VM}, "spec.target.name", "Target name cannot be equal to source name"),
    ({"labelFilters": ["!"]}, "spec.labels", "a negation character is not a valid filter"),
    ({"labelFilters": ["a!"]}, "spec.labels", "cannot contain a negation character"),
    ({"template": {"annotationFilters": ["*a"]}}, "spec.template.annotations", "cannot contain a wildcard character"),
    ({"newMacAddresses": {"net": "x"}}, "spec.newMacAddresses.net", "interface net has malformed MAC address (x)."),
    ({"patches": ["no"]}, "spec.patches[0]", "no JSON"),
    ({"volumeNamePolicy": "Mine"}, "spec.volumeNamePolicy", "supported values"),
])  # fmt: skip
def test_clones(more: dict[str, Any], path: str, words: str) -> None:
    found = faults({"source": VM, **more})
    assert list(found) == ([path] if path else [])
    assert not path or words in found[path]


def test_a_spec_does_not_change() -> None:
    assert "spec in immutable after creation" in faults({"source": VM, "target": COPY}, {"source": VM})["spec"]
