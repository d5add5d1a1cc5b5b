"""From a changed object to the keys that it concerns."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.kinds.configmap import CONFIGMAP
from vmpod.kinds.deployment import DEPLOYMENT
from vmpod.kinds.pod import POD
from vmpod.kinds.replicaset import REPLICASET
from vmpod.reconcile.watches import Watch, own, owned_by

NO_CACHE: Any = None


def test_own() -> None:
    obj = {"metadata": {"namespace": "d", "name": "a"}}
    assert own(POD).concerned(obj, NO_CACHE) == {("d", "a")}


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"kind": "ReplicaSet", "apiVersion": "apps/v1", "name": "rs", "controller": True}, {("d", "rs")}),
        ({"kind": "ReplicaSet", "apiVersion": "apps/v1beta2", "name": "rs", "controller": True}, {("d", "rs")}),
        ({"kind": "ReplicaSet", "apiVersion": "apps/v1", "name": "rs"}, set()),
        ({"kind": "ReplicaSet", "apiVersion": "else/v1", "name": "rs", "controller": True}, set()),
        ({"kind": "Job", "apiVersion": "apps/v1", "name": "rs", "controller": True}, set()),
        (None, set()),
    ],
)
def test_owned_by(reference: dict[str, Any] | None, expected: set[tuple[str, str]]) -> None:
    owners = [reference] if reference else []
    obj = {"metadata": {"namespace": "d", "name": "p", "ownerReferences": owners}}
    assert owned_by(POD, REPLICASET).concerned(obj, NO_CACHE) == expected
    assert owned_by(POD, DEPLOYMENT).concerned(obj, NO_CACHE) == set()


def test_relations_that_others_tell() -> None:
    watch = Watch(CONFIGMAP, lambda obj: [("d", "told")], found=lambda obj, cache: [("d", "found")])
    assert watch.concerned({}, NO_CACHE) == {("d", "told"), ("d", "found")}
