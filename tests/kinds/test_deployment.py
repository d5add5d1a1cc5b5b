"""Deployment and ReplicaSet: defaults, rules, cells."""

from __future__ import annotations

from copy import deepcopy

import pytest

from vmpod.kinds import DEPLOYMENT, REPLICASET, Kind
from vmpod.model.meta import Object

from .objects import deployment, faults, header, line

NOW = "2026-01-01T01:00:00Z"


def test_defaults() -> None:
    spec = DEPLOYMENT.default(deployment())["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    assert (spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (10, 600)
    template = spec["template"]["spec"]
    assert template == {
        "containers": [{
            "name": "main", "image": "nginx", "imagePullPolicy": "Always", "resources": {},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        }],
        "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
        "securityContext": {}, "terminationGracePeriodSeconds": 30,
    }


def test_recreate_has_no_rolling_update() -> None:
    assert DEPLOYMENT.default(deployment(strategy={"type": "Recreate"}))["spec"]["strategy"] == {"type": "Recreate"}


def test_zero_replicas_stay() -> None:
    for kind in (DEPLOYMENT, REPLICASET):
        assert kind.default(deployment(replicas=0))["spec"]["replicas"] == 0


def _with(path: list[str], value: object) -> Object:
    obj = deployment()
    place = obj["spec"]
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = value
    return obj


@pytest.mark.parametrize(("obj", "told"), [
    (_with(["template", "metadata", "labels"], {"app": "x"}),
     'spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`'),
    (_with(["selector"], None), "spec.selector: Required value"),
    (_with(["selector"], {}), "spec.selector: Invalid value: {}: empty selector is invalid for deployment"),
    (_with(["replicas"], -1), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
    (_with(["template", "spec", "restartPolicy"], "Never"),
     'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'),
    (_with(["template", "spec", "containers"], []), "spec.template.spec.containers: Required value"),
    (_with(["strategy"], {"type": "Rolling"}),
     'spec.strategy.type: Unsupported value: "Rolling": supported values: "Recreate", "RollingUpdate"'),
    (_with(["strategy"], {"type": "Recreate", "rollingUpdate": {}}),
     "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"),
    (_with(["strategy"], {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}),
     "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"),
    (_with(["progressDeadlineSeconds"], 0),
     "spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds"),
    (_with(["selector", "matchLabels"], {"a b": "c"}),
     'spec.selector.matchLabels: Invalid value: "a b": name part must consist of'),
])
def test_wrong(obj: Object, told: str) -> None:
    assert any(text.startswith(told) for text in faults(DEPLOYMENT, obj)), faults(DEPLOYMENT, obj)


@pytest.mark.parametrize("kind", [DEPLOYMENT, REPLICASET])
def test_selector_is_immutable(kind: Kind) -> None:
    old, new = deployment(), deployment(selector={"matchLabels": {"app": "web", "tier": "a"}})
    new["spec"]["template"]["metadata"]["labels"]["tier"] = "a"
    assert faults(kind, old, deepcopy(old)) == []
    assert faults(kind, new, old) == [
        'spec.selector: Invalid value: {"matchLabels":{"app":"web","tier":"a"}}: field is immutable',
    ]


def test_expressions_select() -> None:
    selector = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]}
    assert faults(DEPLOYMENT, deployment(selector=selector)) == []
    selector = {"matchExpressions": [{"key": "app", "operator": "Is", "values": ["web"]}]}
    assert faults(DEPLOYMENT, deployment(selector=selector))[0].endswith("invalid label selector")


def test_warnings_of_the_template() -> None:
    obj = deployment()
    obj["spec"]["template"]["spec"]["runtimeClassName"] = "kata"
    told = "spec.template.spec.runtimeClassName: not supported yet, ignored"
    assert DEPLOYMENT.warnings(obj) == REPLICASET.warnings(obj) == [told]


def test_lines() -> None:
    obj = deployment(replicas=3) | {"status": {
        "replicas": 3, "readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1}}
    obj["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    assert header(DEPLOYMENT, wide=True) == "NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR"
    assert line(DEPLOYMENT, obj, NOW, wide=True) == ["web", "2/3", 3, 1, "60m", "main", "nginx", "app=web"]
    assert header(REPLICASET, wide=True) == "NAME DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR"
    assert line(REPLICASET, obj, NOW) == ["web", 3, 3, 2, "60m"]
