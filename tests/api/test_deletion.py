"""What a DELETE comes to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from vmpod.api import deletion
from vmpod.api.deletion import DeleteOptions
from vmpod.kinds import CONFIGMAP, NAMESPACE, POD
from vmpod.kinds.kind import Kind
from vmpod.model.status import ApiError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def obj(**metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a", **metadata}}


def pod(node: str = "n", phase: str = "Running", grace: int | None = None) -> dict[str, Any]:
    spec = {"nodeName": node} | ({"terminationGracePeriodSeconds": grace} if grace is not None else {})
    return {**obj(generation=1), "spec": spec, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("kind", "found", "options", "grace"),
    [
        (CONFIGMAP, obj(), DeleteOptions(), None),
        (CONFIGMAP, obj(finalizers=["a.io/x"]), DeleteOptions(), 0),
        (CONFIGMAP, obj(), DeleteOptions(propagation="Foreground"), 0),
        (CONFIGMAP, obj(finalizers=["orphan"]), DeleteOptions(propagation="Background"), None),
        (CONFIGMAP, obj(), DeleteOptions(grace_s=30), None),
        (POD, pod(), DeleteOptions(), 30),
        (POD, pod(grace=5), DeleteOptions(), 5),
        (POD, pod(grace=5), DeleteOptions(grace_s=9), 9),
        (POD, pod(grace=0), DeleteOptions(), None),
        (POD, pod(), DeleteOptions(grace_s=0), None),
        (POD, pod(), DeleteOptions(grace_s=-1), 1),
        (POD, pod(node=""), DeleteOptions(), None),
        (POD, pod(phase="Succeeded"), DeleteOptions(), None),
        (NAMESPACE, {**obj(), "spec": {"finalizers": ["kubernetes"]}}, DeleteOptions(), 0),
        (NAMESPACE, obj(), DeleteOptions(), None),
    ],
)
def test_what_waits_and_how_long(kind: Kind, found: dict[str, Any], options: DeleteOptions, grace: int | None) -> None:
    waiting = deletion.decide(kind, found, options, NOW)
    assert (waiting is None) == (grace is None)
    if waiting is not None:
        assert waiting["metadata"]["deletionGracePeriodSeconds"] == grace
        assert deletion.decide(kind, waiting, DeleteOptions(), NOW) == waiting


def test_a_marked_pod_counts_a_generation_and_its_end() -> None:
    waiting = deletion.decide(POD, pod(), DeleteOptions(), NOW)
    assert waiting is not None
    assert waiting["metadata"]["generation"] == 2
    assert waiting["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:30Z"
    sooner = deletion.decide(POD, waiting, DeleteOptions(grace_s=10), NOW)
    assert sooner is not None and sooner["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:10Z"
    assert deletion.decide(POD, sooner, DeleteOptions(grace_s=60), NOW) == sooner
    assert deletion.decide(POD, sooner, DeleteOptions(grace_s=0), NOW) is None


@pytest.mark.parametrize(
    ("body", "query", "wanted"),
    [
        ({}, {}, DeleteOptions()),
        ({"gracePeriodSeconds": 0}, {"gracePeriodSeconds": "5"}, DeleteOptions(grace_s=0)),
        ({}, {"gracePeriodSeconds": "5", "propagationPolicy": "Orphan"}, DeleteOptions(5, "Orphan")),
        ({"orphanDependents": True}, {}, DeleteOptions(propagation="Orphan")),
        ({"dryRun": ["All"]}, {}, DeleteOptions(dry_run=True)),
        ({"preconditions": {"uid": "u", "resourceVersion": "3"}}, {}, DeleteOptions(uid="u", revision="3")),
    ],
)
def test_options(body: dict[str, Any], query: dict[str, str], wanted: DeleteOptions) -> None:
    assert deletion.read_options(body, query) == wanted


@pytest.mark.parametrize(
    ("body", "code"), [({"propagationPolicy": "x"}, 422), ({"dryRun": ["x"]}, 422), ({"gracePeriodSeconds": "x"}, 400)]
)
def test_options_that_make_no_sense(body: dict[str, Any], code: int) -> None:
    with pytest.raises(ApiError) as refused:
        deletion.read_options(body, {})
    assert refused.value.code == code
