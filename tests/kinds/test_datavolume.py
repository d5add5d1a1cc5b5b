"""DataVolume: CDI's rules, warnings, cells."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.kinds import DATAVOLUME
from vmpod.model.meta import Object

from .objects import faults, header, line

SIZE: Object = {"resources": {"requests": {"storage": "1Gi"}}}
CLAIM: Object = SIZE | {"accessModes": ["ReadWriteOnce"]}


def volume(**spec: Any) -> Object:
    base: Object = {"source": {"http": {"url": "http://a/b.qcow2"}}, "storage": SIZE}
    meta = {"name": "d", "namespace": "default"}
    return {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "metadata": meta, "spec": base | spec}


@pytest.mark.parametrize("spec", [
    {}, {"pvc": CLAIM, "storage": None}, {"source": {"blank": {}}}, {"source": {"upload": {}}},
    {"source": {"registry": {"url": "docker://a/b:1", "pullMethod": "node"}}},
    {"source": {"registry": {"url": "oci-archive:a.tar", "platform": {"architecture": "arm64"}, "certConfigMap": "c"}}},
    {"source": {"pvc": {"name": "a", "namespace": "b"}}, "storage": {}},
    {"source": {"s3": {"url": "https://s3.eu-west-1.amazonaws.com/b/k", "secretRef": "a", "certConfigMap": "b"}}},
    {"source": {"http": {"url": "http://a/b", "checksum": "SHA1: " + "Ab" * 20}}},
    {"checkpoints": [], "finalCheckpoint": False}, {"source": {"gcs": {"url": "gs://b/k", "secretRef": "a"}}}, {"source": {"gcs": {"url": "https://host/b/k"}}},
    {"source": None, "sourceRef": {"kind": "DataSource", "name": "a"}, "storage": {}},
])
def test_right(spec: Object) -> None:
    assert faults(DATAVOLUME, volume(**spec)) == []


@pytest.mark.parametrize(("spec", "told"), [
    ({"storage": None}, "spec.PVC: Required value: Missing Data volume PVC"),
    ({"pvc": CLAIM}, 'spec: Invalid value: ["pvc","storage"]: Duplicate storage definition, both target storage and target '
     "pvc defined"),
    ({"storage": {}}, 'spec.storage.resources.requests.size: Invalid value: "": PVC size is missing'),
    ({"storage": {"resources": {"requests": {"storage": "0"}}}},
     "spec.storage.resources.requests.size: Invalid value: \"0\": PVC size can't be equal or less than zero"),
    ({"storage": None, "pvc": SIZE}, "spec.pvc.accessModes: Required value: at least 1 access mode is required"),
    ({"source": None}, "spec.source: Invalid value: null: Data volume should have either Source or SourceRef, or be "
     "externally populated"),
    ({"source": {}}, "spec.source: Invalid value: []: Missing Data volume source"),
    ({"source": {"blank": {}, "upload": {}}}, 'spec.source: Invalid value: ["blank","upload"]: Multiple Data volume sources'),
    ({"source": {"http": {}}}, 'spec.source.http.url: Invalid value: "": source URL is empty'),
    ({"source": {"s3": {"url": "s3://b/k"}}}, 'spec.source.s3.url: Invalid value: "s3://b/k": Invalid source URL scheme: '
     "s3://b/k, must be one of http, https"),
    ({"source": {"gcs": {"secretRef": "a"}}}, 'spec.source.gcs.url: Invalid value: "": source URL is empty'),
    ({"source": {"registry": {"url": "a/b:1"}}}, 'spec.source.registry.url: Invalid value: "a/b:1": Invalid source URL '
     "scheme: a/b:1, must be one of docker, oci-archive"),
    ({"source": {"registry": {"url": "docker://a", "pullMethod": "x"}}},
     'spec.source.registry.pullMethod: Invalid value: "x": ImportMethod x is neither pod, node or ""'),
    ({"source": {"imageio": {"url": "http://a", "diskId": "b"}}}, "spec.source.imageio: Forbidden: not supported: there is no "
     "client of oVirt's ImageIO here: download the disk and import the file"),
    ({"source": {"vddk": {"url": "http://a"}}}, "spec.source.vddk: Forbidden: not supported: VMware's VDDK, which reads disks "
     "of vSphere, is not to be had here: export the machine, and import its .ova or .vmdk"),
    ({"source": {"registry": {"imageStream": "a", "pullMethod": "node"}}}, "spec.source.registry.imageStream: Forbidden: not "
     "supported: there are no image streams here: name the image by url"),
    ({"source": {"vddk": {}}}, "spec.source.vddk: Forbidden: not supported: VMware's VDDK, which reads disks of vSphere, is not to "
     "be had here: export the machine, and import its .ova or .vmdk"),
    ({"checkpoints": [{"current": "a", "previous": ""}]}, "spec.checkpoints: Forbidden: not supported: only imageio and vddk "
     "send a disk in stages"),
    *(({"source": {"http": {"url": "http://a", "checksum": said}}},
       f'spec.source.http.checksum: Invalid value: "{said}": {why}') for said, why in (
        ("abc", "invalid checksum format: expected 'algorithm:hash', got 'abc'"),
        ("sha256:", "checksum hash value cannot be empty"),
        ("crc:1", "unsupported hash algorithm 'crc': supported algorithms are: md5, sha1, sha256, sha512"),
        ("md5:12", "invalid md5 hash length: expected 32 hex characters, got 2"),
        ("md5:" + "x" * 32, "checksum hash is not valid hexadecimal"),
    )),
    ({"contentType": "x"}, 'spec.contentType: Invalid value: "x": ContentType not one of: kubevirt, archive'),
])
def test_wrong(spec: Object, told: str) -> None:
    assert told in faults(DATAVOLUME, volume(**spec))


def test_spec_is_immutable() -> None:
    old = volume()
    assert faults(DATAVOLUME, volume(), old) == []
    assert faults(DATAVOLUME, volume(source={"blank": {}}), old) == ["spec: Forbidden: Cannot update DataVolume Spec"]


def test_warnings() -> None:
    assert DATAVOLUME.warnings(volume()) == []
    assert DATAVOLUME.warnings(volume(source={"gcs": {"url": "gs://a/b", "secretRef": "c"}})) == []
    http = {"http": {"url": "http://a/b", "insecureSkipVerify": True}}
    assert DATAVOLUME.warnings(volume(source=http, preallocation=True)) == []
    assert DATAVOLUME.warnings(volume(priorityClassName="x", serviceAccountName="y", finalCheckpoint=True)) == [
        "spec.priorityClassName: not supported yet, ignored", "spec.serviceAccountName: not supported yet, ignored",
        "spec.finalCheckpoint: not supported yet, ignored",
    ]


def test_line() -> None:
    assert header(DATAVOLUME) == "NAME PHASE PROGRESS RESTARTS AGE"
    obj = volume()
    assert line(DATAVOLUME, obj, "2026-01-01T00:00:00Z") == ["d", None, None, None, "<unknown>"]
    obj["status"] = {"phase": "Succeeded", "progress": "100.0%", "restartCount": 1}
    assert line(DATAVOLUME, obj, "2026-01-01T00:00:00Z") == ["d", "Succeeded", "100.0%", 1, "<unknown>"]
