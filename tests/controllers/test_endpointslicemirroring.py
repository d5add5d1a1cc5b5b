"""Endpoints written by hand → EndpointSlices."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.controllers import endpointslicemirroring as controller
from vmpod.kinds import ENDPOINTS, ENDPOINTSLICE, SERVICE
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.testing.objects import service
from vmpod.testing.world import World

SUBSET = {"addresses": [{"ip": "10.2.0.7"}], "notReadyAddresses": [{"ip": "10.2.0.8"}], "ports": [{"port": 5432}]}


def mirrored(labels: dict[str, str] | None = None, subset: Object = SUBSET, **spec: Any) -> tuple[World, list[Object]]:
    world = World()
    made = service()
    made["spec"] = {key: value for key, value in made["spec"].items() if key != "selector"} | spec
    world.put(SERVICE, made)
    where = {"name": "web", "namespace": "default", "labels": labels or {}}
    world.put(ENDPOINTS, {"apiVersion": "v1", "kind": "Endpoints", "metadata": where, "subsets": [subset]})
    world.settle({controller: {}})
    return world, world.list(ENDPOINTSLICE)


def test_a_slice_for_each_subset() -> None:
    _, (found,) = mirrored()
    assert [one["addresses"] for one in found["endpoints"]] == [["10.2.0.7"], ["10.2.0.8"]]
    assert [one["conditions"]["ready"] for one in found["endpoints"]] == [True, False]
    assert found["ports"] == [{"name": "", "port": 5432, "protocol": "TCP"}]
    assert meta.labels(found)["kubernetes.io/service-name"] == "web"
    assert (meta.controller_of(found) or {})["kind"] == "Endpoints"


def test_a_slice_holds_one_family() -> None:
    _, found = mirrored(subset={**SUBSET, "addresses": [{"ip": "fd00::7"}, {"ip": "10.2.0.7"}]})
    told = {one["addressType"]: [end["addresses"][0] for end in one["endpoints"]] for one in found}
    assert told == {"IPv4": ["10.2.0.7", "10.2.0.8"], "IPv6": ["fd00::7"]}
    assert mirrored(subset={"ports": [{"port": 1}]})[1][0]["endpoints"] == []


@pytest.mark.parametrize(("labels", "spec"), [
    ({"endpointslice.kubernetes.io/skip-mirror": "true"}, {}), ({}, {"selector": {"app": "web"}}),
])
def test_what_is_not_mirrored(labels: dict[str, str], spec: dict[str, Any]) -> None:
    assert mirrored(labels, **spec)[1] == []
