"""Claims that grow."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.model.meta import Object
from vmpod.node.translate.claim import PROVISIONER
from vmpod.node.translate.expansion import Grow, Seen, plan

LOCAL: Object = {"metadata": {"name": "local"}, "allowVolumeExpansion": True}


def claim(size: str, **meta: Any) -> Object:
    return {"metadata": {"name": "data", "namespace": "default", "uid": "u1"} | meta,
            "spec": {"volumeName": "pv", "resources": {"requests": {"storage": size}}}}  # fmt: skip


def volume(size: str, driver: str = PROVISIONER, uid: str = "u1") -> Object:
    return {"metadata": {"name": "pv"}, "spec": {"capacity": {"storage": size}, "csi": {"driver": driver},
                                                  "storageClassName": "local", "claimRef": {"uid": uid}}}  # fmt: skip


def test_a_claim_that_asks_for_more_gets_it() -> None:
    found = plan(Seen(claim("2Gi"), volume("1Gi"), (LOCAL,)))
    assert [(type(one), one.size_bytes) for one in found.actions] == [(Grow, 2 << 30)]
    assert found.again_in == 2.0


@pytest.mark.parametrize("seen", [
    Seen(claim("1Gi"), volume("1Gi"), (LOCAL,)), Seen(claim("1Gi"), volume("2Gi"), (LOCAL,)),
    Seen(claim("2Gi"), None, (LOCAL,)), Seen(claim("2Gi"), volume("1Gi", driver="other"), (LOCAL,)),
    Seen(claim("2Gi"), volume("1Gi", uid="u2"), (LOCAL,)),
    Seen(claim("2Gi", deletionTimestamp="2026-01-01T00:00:00Z"), volume("1Gi"), (LOCAL,)),
])  # fmt: skip
def test_nothing_else_grows(seen: Seen) -> None:
    found = plan(seen)
    assert (found.actions, found.events) == ((), ())


@pytest.mark.parametrize("classes", [(), ({"metadata": {"name": "local"}},)])
def test_a_class_may_forbid_it(classes: tuple[Object, ...]) -> None:
    found = plan(Seen(claim("2Gi"), volume("1Gi"), classes))
    assert found.actions == () and "does not allow volume expansion" in found.events[0].message
