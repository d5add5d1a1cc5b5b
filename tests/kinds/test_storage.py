"""PersistentVolumeClaim, PersistentVolume, StorageClass: defaults, rules, cells."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, STORAGECLASS
from vmpod.kinds.persistentvolumeclaim import IMMUTABLE
from vmpod.kinds.storageclass import is_default
from vmpod.model.meta import Object

from .objects import faults, header, line

NOW = "2026-01-01T01:00:00Z"
MADE = "2026-01-01T00:00:00Z"
MODES = '"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"'


def claim(size: object = "1Gi", **spec: Any) -> Object:
    base: Object = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    meta = {"name": "c", "namespace": "default", "creationTimestamp": MADE}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": base | spec}


def volume(**spec: Any) -> Object:
    base: Object = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1024Mi"}, "hostPath": {"path": "/x"}}
    meta = {"name": "v", "creationTimestamp": MADE}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": meta, "spec": base | spec}


def storage_class(**fields: Any) -> Object:
    meta = {"name": "local", "creationTimestamp": MADE}
    return {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": meta, "provisioner": "vmpod.io/disk"} | fields


def test_claim_defaults() -> None:
    made = PERSISTENTVOLUMECLAIM.default(claim("1024Mi"))["spec"]
    assert made == {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "volumeMode": "Filesystem",
    }
    assert PERSISTENTVOLUMECLAIM.prepare_create(claim())["status"] == {"phase": "Pending"}


@pytest.mark.parametrize(("obj", "told"), [
    (claim(accessModes=[]), "spec.accessModes: Required value: at least 1 access mode is required"),
    (claim(accessModes=["RWO"]), f'spec.accessModes: Unsupported value: "RWO": supported values: {MODES}'),
    (claim(accessModes=["ReadWriteOncePod", "ReadWriteOnce"]),
     "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"),
    (claim(resources={}), "spec.resources[storage]: Required value"),
    (claim("0"), 'spec.resources[storage]: Invalid value: "0": must be greater than zero'),
    (claim("ten"), 'spec.resources[storage]: Invalid value: "ten": quantities must match the regular expression '
     "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
    (claim(volumeMode="File"),
     'spec.volumeMode: Unsupported value: "File": supported values: "Block", "Filesystem"'),
])
def test_claim_rules(obj: Object, told: str) -> None:
    assert faults(PERSISTENTVOLUMECLAIM, obj) == [told]


def test_claim_update() -> None:
    bound = claim(volumeName="v", storageClassName="local")
    bound["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    assert faults(PERSISTENTVOLUMECLAIM, claim("2Gi", volumeName="v", storageClassName="local"), bound) == []
    assert faults(PERSISTENTVOLUMECLAIM, claim("1Mi", volumeName="v", storageClassName="local"), bound) == [
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity",
    ]
    other = claim(volumeName="w", storageClassName="local")
    assert faults(PERSISTENTVOLUMECLAIM, other, bound) == [f"spec: Forbidden: {IMMUTABLE}"]
    assert faults(PERSISTENTVOLUMECLAIM, bound, claim()) == []


def test_claim_line() -> None:
    assert header(PERSISTENTVOLUMECLAIM, wide=True) == (
        "NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE VOLUMEMODE")
    obj = PERSISTENTVOLUMECLAIM.default(claim(storageClassName="local")) | {"status": {"phase": "Pending"}}
    told = ["c", "Pending", "", "", "", "local", "<unset>", "60m", "Filesystem"]
    assert line(PERSISTENTVOLUMECLAIM, obj, NOW, wide=True) == told
    obj["spec"]["volumeName"] = "v"
    obj["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
    assert line(PERSISTENTVOLUMECLAIM, obj, NOW)[1:5] == ["Bound", "v", "1Gi", "RWO"]
    obj["metadata"]["deletionTimestamp"] = NOW
    assert line(PERSISTENTVOLUMECLAIM, obj, NOW)[1] == "Terminating"


def test_volume() -> None:
    made = PERSISTENTVOLUME.default(volume())
    assert made["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert made["spec"]["capacity"] == {"storage": "1Gi"}
    assert faults(PERSISTENTVOLUME, volume()) == []
    assert faults(PERSISTENTVOLUME, volume(capacity={}, accessModes=[])) == [
        "spec.capacity: Required value", "spec.accessModes: Required value"]
    assert faults(PERSISTENTVOLUME, volume(persistentVolumeReclaimPolicy="x")) == [
        'spec.persistentVolumeReclaimPolicy: Unsupported value: "x": supported values: "Delete", "Recycle", "Retain"']


def test_volume_line() -> None:
    assert header(PERSISTENTVOLUME, wide=True) == (
        "NAME CAPACITY ACCESS MODES RECLAIM POLICY STATUS CLAIM STORAGECLASS VOLUMEATTRIBUTESCLASS REASON AGE VOLUMEMODE")
    obj = PERSISTENTVOLUME.default(volume(claimRef={"namespace": "a", "name": "c"}, storageClassName="local"))
    obj["status"] = {"phase": "Bound"}
    told = ["v", "1Gi", "RWO", "Retain", "Bound", "a/c", "local", "<unset>", "", "60m"]
    assert line(PERSISTENTVOLUME, obj, NOW) == told


def test_storage_class() -> None:
    made = STORAGECLASS.default(storage_class())
    assert (made["reclaimPolicy"], made["volumeBindingMode"]) == ("Delete", "Immediate")
    assert faults(STORAGECLASS, storage_class(provisioner="")) == ["provisioner: Required value"]
    assert faults(STORAGECLASS, storage_class(volumeBindingMode="x")) == [
        'volumeBindingMode: Unsupported value: "x": supported values: "Immediate", "WaitForFirstConsumer"']
    assert faults(STORAGECLASS, storage_class(parameters={"a": "b"}), storage_class()) == [
        "parameters: Forbidden: updates to parameters are forbidden."]


def test_storage_class_line() -> None:
    assert header(STORAGECLASS) == "NAME PROVISIONER RECLAIMPOLICY VOLUMEBINDINGMODE ALLOWVOLUMEEXPANSION AGE"
    obj = STORAGECLASS.default(storage_class(allowVolumeExpansion=True))
    assert not is_default(obj)
    obj["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    assert is_default(obj)
    assert line(STORAGECLASS, obj, NOW) == ["local (default)", "vmpod.io/disk", "Delete", "Immediate", "true", "60m"]
