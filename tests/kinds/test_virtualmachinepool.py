"""VirtualMachinePool and VirtualMachineInstanceReplicaSet as kinds."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from vmpod.kinds import (
    VIRTUALMACHINEINSTANCEPRESET,
    VIRTUALMACHINEINSTANCEREPLICASET,
    VIRTUALMACHINEPOOL,
    Kind,
    schema,
)
from vmpod.model.meta import Object

from .objects import faults, header, line, machine_spec, vm

LABELS = {"app": "web"}


def pool(template: Object | None = None, **spec: Any) -> Object:
    machine = {"metadata": {"labels": LABELS}, "spec": template or vm()["spec"]}
    body = {"selector": {"matchLabels": LABELS}, "virtualMachineTemplate": machine, **spec}
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": body}


def replicas(**spec: Any) -> Object:
    template = {"metadata": {"labels": LABELS}, "spec": machine_spec()}
    body = {"selector": {"matchLabels": LABELS}, "template": template, **spec}
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": body}


@pytest.mark.parametrize(("kind", "obj"), [(VIRTUALMACHINEPOOL, pool()), (VIRTUALMACHINEINSTANCEREPLICASET, replicas())])
def test_columns_and_defaults(kind: Kind, obj: Object) -> None:
    made = kind.default(deepcopy(obj)) | {"status": {"replicas": 2, "readyReplicas": 1}}
    assert faults(kind, obj) == kind.warnings(made) == [] and not schema.type_errors(kind, made)
    assert header(kind) == "NAME DESIRED CURRENT READY AGE"
    assert line(kind, made, "2026-01-01T00:00:00Z") == ["web", 1, 2, 1, "<unknown>"]


T = "spec.virtualMachineTemplate"


@pytest.mark.parametrize(("kind", "obj", "told"), [
    (VIRTUALMACHINEPOOL, pool(selector={"matchLabels": {"app": "x"}}), 'spec.selector: Invalid value: '
     '{"matchLabels":{"app":"x"}}: selector does not match labels.'),
    (VIRTUALMACHINEPOOL, pool(replicas=-1), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
    (VIRTUALMACHINEPOOL, pool(virtualMachineTemplate=None), f"{T}: Required value: missing virtual machine template."),
    (VIRTUALMACHINEPOOL, pool(vm(runStrategy="Maybe")["spec"]), f'{T}.spec.runStrategy: Invalid value: "Maybe": Invalid '
     "RunStrategy (Maybe)"),
    (VIRTUALMACHINEPOOL, pool(vm(machine_spec(volumes=[]))["spec"]), f"{T}.spec.template.spec.domain.devices.disks[0].name: "
     f"Invalid value: \"root\": {T}.spec.template.spec.domain.devices.disks[0].Name 'root' not found."),
    (VIRTUALMACHINEPOOL, pool(maxUnavailable="many"), 'spec.maxUnavailable: Invalid value: "many": must be a whole number '
     "or a percentage"),
    (VIRTUALMACHINEPOOL, pool(updateStrategy={"unmanaged": {}, "opportunistic": {}}), 'spec.updateStrategy: Invalid value: '
     '{"unmanaged":{},"opportunistic":{}}: only one strategy may be set'),
    (VIRTUALMACHINEINSTANCEREPLICASET, replicas(template=None), "spec.template: Required value: missing virtual machine "
     "template."),
    (VIRTUALMACHINEINSTANCEREPLICASET, replicas(selector={"matchLabels": {"a": "b"}}), 'spec.selector: Invalid value: '
     '{"matchLabels":{"a":"b"}}: selector does not match labels.'),
])
def test_what_is_refused(kind: Kind, obj: Object, told: str) -> None:
    assert faults(kind, obj) == [told]


def test_a_pools_selector_stays() -> None:
    other = pool(selector={"matchExpressions": [{"key": "app", "operator": "Exists"}]})
    assert [one.rpartition(": ")[2] for one in faults(VIRTUALMACHINEPOOL, other, pool())] == ["selector is immutable after creation"]


def test_what_is_not_acted_on_is_named() -> None:
    asked = pool(autohealing={"startUpFailureThreshold": 3}, scaleInStrategy={"opportunistic": {"statePreservation": "Online"}})
    assert VIRTUALMACHINEPOOL.warnings(asked) == [
        "spec.scaleInStrategy.opportunistic.statePreservation: not supported yet, ignored"]


def test_presets_are_refused_by_name() -> None:
    preset = {"metadata": {"name": "a"}, "spec": {"selector": {"matchLabels": LABELS}}}
    assert faults(VIRTUALMACHINEINSTANCEPRESET, preset) == [
        "spec: Forbidden: presets are not supported: use a VirtualMachineInstancetype and a VirtualMachinePreference"]
    assert VIRTUALMACHINEINSTANCEPRESET.deprecated["v1"].startswith("kubevirt.io/v1 VirtualMachineInstancePresets is now")
