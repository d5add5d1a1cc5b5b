"""No body, however odd, is an internal error."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Caller

POD: dict[str, Any] = {
    "metadata": {"labels": {"a": "b"}, "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y"}]},
    "spec": {
        "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}}}],
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "volumes": [{"name": "v", "configMap": {"name": "x"}}],
    },
}
SERVICE: dict[str, Any] = {
    "metadata": {}, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30001}], "clusterIP": "10.96.3.3"},
}
MACHINE: dict[str, Any] = {
    "metadata": {},
    "spec": {"runStrategy": "Always", "template": {"spec": {
        "domain": {"memory": {"guest": "1Gi"}, "devices": {"disks": [{"name": "r", "disk": {"bus": "virtio"}}]}},
        "volumes": [{"name": "r", "containerDisk": {"image": "x"}}],
    }}},
}
ODD: tuple[Any, ...] = (None, "", 0, True, [], {}, "x", [None], [{}], {"a": None}, [[]])
BODIES = {
    "/api/v1/namespaces/default/pods": POD,
    "/api/v1/namespaces/default/services": SERVICE,
    "/apis/kubevirt.io/v1/namespaces/default/virtualmachines": MACHINE,
}


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield from _paths(below, (*path, key))


def _with(obj: Any, path: tuple[str | int, ...], value: Any) -> Any:
    obj = copy.deepcopy(obj)
    place = obj
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    if isinstance(obj.get("metadata"), dict):
        obj["metadata"]["name"] = "odd"
    return obj


@pytest.mark.parametrize("path", BODIES)
async def test_odd_values_are_taken_or_refused(call: Caller, path: str) -> None:
    for place in _paths(BODIES[path]):
        for value in ODD:
            answer = await call.send("POST", path, _with(BODIES[path], place, value), dryRun="All")
            assert answer.status < 500, (place, value, answer.body)
