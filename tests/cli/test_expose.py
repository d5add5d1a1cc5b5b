"""The Service that `vmpod expose` makes."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.base.errors import Problem
from vmpod.cli.expose_ import service_for
from vmpod.kinds import SERVICE

VM: dict[str, Any] = {
    "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "a", "namespace": "n", "uid": "1"},
    "spec": {"template": {"spec": {"domain": {"devices": {"interfaces": [
        {"name": "default", "ports": [{"name": "http", "port": 80}, {"port": 53, "protocol": "UDP", "name": "dns"}]}]}}}}},
}  # fmt: skip


def test_it_selects_the_machine_and_goes_with_it() -> None:
    made = service_for(VM, "front", "NodePort", {"port": 22, "protocol": "TCP"})
    assert made["spec"] == {"type": "NodePort", "selector": {"vmi.kubevirt.io/id": "a"},
                            "ports": [{"port": 22, "protocol": "TCP"}]}  # fmt: skip
    assert made["metadata"]["ownerReferences"] == [
        {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": "a", "uid": "1"}
    ]
    assert SERVICE.validate(SERVICE.default(made), None) == []


def test_declared_ports_are_taken_when_none_is_named() -> None:
    ports = service_for(VM, "front", "ClusterIP", {"protocol": "TCP"})["spec"]["ports"]
    assert [one["port"] for one in ports] == [80, 53]


def test_a_machine_that_declares_none_needs_one() -> None:
    bare = VM | {"spec": {}}
    with pytest.raises(Problem, match="declares no ports"):
        service_for(bare, "front", "ClusterIP", {"protocol": "TCP"})
