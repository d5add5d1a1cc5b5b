"""What holds for every kind and every object: defaults settle at once, nothing raises on nonsense."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpod.kinds import KINDS, POD, SERVICE, VIRTUALMACHINE, VIRTUALMACHINEINSTANCE, Kind
from vmpod.model import table
from vmpod.model.meta import Object

from .objects import container, deployment, pod, service, vm, vmi

NOW = datetime(2026, 1, 1, tzinfo=UTC)
# Field names that the rules look at, so that nonsense gets deep.
KEYS = st.sampled_from([
    "spec", "template", "metadata", "labels", "annotations", "name", "containers", "initContainers", "volumes", "ports",
    "port", "resources", "limits", "requests", "cpu", "memory", "env", "value", "valueFrom", "volumeMounts", "type",
    "livenessProbe", "httpGet", "domain", "devices", "disks", "disk", "cdrom", "bus", "interfaces", "networks", "pod",
    "masquerade", "guest", "selector", "matchLabels", "data", "stringData", "status", "conditions", "accessModes",
    "storage", "source", "http", "url", "tolerations", "configMap", "secret", "hostPath", "emptyDisk", "containerDisk",
    "cloudInitNoCloud", "userData", "addresses", "subsets", "endpoints", "clusterIP", "clusterIPs", "strategy",
    "rollingUpdate", "maxSurge", "firmware", "features", "running", "runStrategy", "capacity", "involvedObject",
    "downwardAPI", "items", "fieldRef", "externalIPs", "dataVolumeTemplates", "finalizers", "ownerReferences",
    "bootOrder", "sockets", "sizeLimit", "command", "lifecycle", "preStop", "envFrom", "containerStatuses", "state",
    "podIPs", "ingress", "loadBalancer", "nodeSelector", "accessCredentials", "probe", "readinessProbe", "serial",
])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 70000), st.sampled_from(["", "a", "1Gi", "500m", "A b", "10.0.0.1", "25%"]),
)
NONSENSE = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=6)),
    max_leaves=25,
)


def _object(body: Object) -> Object:
    base: Object = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "namespace": "default"}}
    return base | body


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
@settings(max_examples=60, deadline=None)
@given(body=st.dictionaries(KEYS.filter(lambda key: key != "metadata"), NONSENSE, max_size=6))
def test_nonsense_is_refused_not_raised(kind: Kind, body: Object) -> None:
    obj = _object(body)
    once = kind.default(deepcopy(obj))
    assert kind.default(deepcopy(once)) == once
    for old in (None, once):
        for error in kind.validate(deepcopy(once), old):
            assert str(error)
            assert error.path
    assert all(": " in text or "deprecated" in text for text in kind.warnings(once))
    kind.prepare_update(kind.prepare_create(deepcopy(once)), once)
    json.dumps(table.render(kind.columns, [obj], NOW))


QUANTITIES = st.sampled_from(["1", "0.5", "500m", "1Gi", "1024Mi", "1e3", "2k", "100M"])
POLICIES = st.sampled_from([None, "", "Always", "OnFailure", "Never"])


@given(limits=st.dictionaries(st.sampled_from(["cpu", "memory"]), QUANTITIES),
       requests=st.dictionaries(st.sampled_from(["cpu", "memory"]), QUANTITIES), policy=POLICIES,
       volumes=st.lists(st.sampled_from([{"name": "a"}, {"name": "b", "secret": {}}, {"name": "c", "hostPath": {}}])))
def test_pod_defaults_settle(limits: Object, requests: Object, policy: str | None, volumes: list[Object]) -> None:
    obj = container(resources={"limits": limits, "requests": requests}, ports=[{"containerPort": 1}])
    obj["spec"] |= {"restartPolicy": policy, "volumes": deepcopy(volumes)}
    once = POD.default(obj)
    assert POD.default(deepcopy(once)) == once


@given(limits=st.dictionaries(st.sampled_from(["cpu", "memory"]), QUANTITIES), guest=st.none() | QUANTITIES,
       cores=st.none() | st.integers(0, 4), targets=st.lists(st.sampled_from(["disk", "cdrom", "lun", ""]), max_size=3))
def test_machine_defaults_settle(limits: Object, guest: str | None, cores: int | None, targets: list[str]) -> None:
    disks = [{"name": f"d{n}", **({target: {}} if target else {})} for n, target in enumerate(targets)]
    domain = {"cpu": {"cores": cores}, "memory": {"guest": guest}, "resources": {"limits": limits},
              "devices": {"disks": disks}}
    once = VIRTUALMACHINEINSTANCE.default(vmi(domain=domain))
    assert VIRTUALMACHINEINSTANCE.default(deepcopy(once)) == once


@pytest.mark.parametrize("obj", [pod(), deployment(), service(), vm(), vmi()], ids=lambda obj: obj["kind"])
def test_writing_the_same_again_changes_nothing(obj: Object) -> None:
    kind = next(kind for kind in KINDS if kind.kind == obj["kind"])
    stored = kind.prepare_create(kind.default(deepcopy(obj)))
    again = kind.prepare_update(kind.default(deepcopy(obj)), stored)
    assert again == stored
    assert kind.validate(again, stored) == []


def test_services_and_machines_say_nothing_about_themselves() -> None:
    assert SERVICE.warnings(SERVICE.default(service(type="LoadBalancer"))) == []
    assert VIRTUALMACHINE.warnings(VIRTUALMACHINE.default(vm())) == []
