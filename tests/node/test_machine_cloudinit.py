"""Seeds: what cloud-init finds in a guest."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from vmpod.base.errors import Problem
from vmpod.model.meta import Object
from vmpod.node.translate.cloudinit import seed

VMI: Object = {"metadata": {"name": "vm1", "namespace": "shop", "uid": "u1"}, "spec": {}}


def encoded(**data: bytes) -> Object:
    return {"data": {key: base64.b64encode(value).decode() for key, value in data.items()}}


OBJECTS: dict[tuple[str, str], Object] = {
    ("Secret", "lower"): encoded(userdata=b"#lower", networkdata=b"n1"),
    ("Secret", "camel"): encoded(userData=b"#camel", networkData=b"n2"),
    ("Secret", "keys"): encoded(b=b"ssh-ed25519 B\n", a=b"ssh-ed25519 A"),
    ("Secret", "win"): encoded(**{"AutoUnattend.xml": b"<x/>"}),
    ("ConfigMap", "win"): {"data": {"AutoUnattend.xml": "<x/>"}},
    ("ConfigMap", "conf"): {"data": {"a.ini": "x=1"}, "binaryData": {"b.bin": base64.b64encode(b"\0\1").decode()}},
}


def find(kind: str, name: str) -> Object | None:
    return OBJECTS.get((kind, name))


def make(vmi: Object = VMI, **volume: Any) -> Any:
    return seed(vmi, {"name": "v", **volume}, find)


@pytest.mark.parametrize(("source", "user", "network"), [
    ({"userData": "#cloud-config\n"}, b"#cloud-config\n", None),
    ({"userDataBase64": base64.b64encode(b"\x1f\x8b\0").decode(), "networkDataBase64": "bjA="}, b"\x1f\x8b\0", b"n0"),
    ({"secretRef": {"name": "lower"}, "networkDataSecretRef": {"name": "lower"}}, b"#lower", b"n1"),
    ({"secretRef": {"name": "camel"}, "networkDataSecretRef": {"name": "camel"}}, b"#camel", b"n2"),
    ({"secretRef": {"name": "lower"}, "networkData": "version: 2"}, b"#lower", b"version: 2"),
    ({}, b"", None),
])
def test_no_cloud(source: Object, user: bytes, network: bytes | None) -> None:
    made = make(cloudInitNoCloud=source)
    assert made.label == "cidata"
    assert json.loads(made.files["meta-data"]) == {"instance-id": "vm1.shop", "local-hostname": "vm1"}
    assert (made.files["user-data"], made.files.get("network-config")) == (user, network)


def test_config_drive() -> None:
    made = make(cloudInitConfigDrive={"userData": "#cloud-config", "networkData": "{}"})
    assert made.label == "config-2"
    assert json.loads(made.files["openstack/latest/meta_data.json"]) == {
        "instance_id": "vm1.shop", "hostname": "vm1", "uuid": "u1"}
    assert made.files["openstack/latest/user_data"] == b"#cloud-config"
    assert made.files["openstack/latest/network_data.json"] == b"{}"


def test_keys_by_metadata() -> None:
    credentials = [{"sshPublicKey": {"source": {"secret": {"secretName": "keys"}}, "propagationMethod": {"noCloud": {}}}}]
    vmi = {**VMI, "spec": {"accessCredentials": credentials, "hostname": "h"}}
    meta = json.loads(make(vmi, cloudInitNoCloud={"userData": ""}).files["meta-data"])
    assert meta["public-keys"] == {"0": "ssh-ed25519 A", "1": "ssh-ed25519 B"}
    assert meta["local-hostname"] == "h"
    assert "public_keys" not in json.loads(
        make(vmi, cloudInitConfigDrive={}).files["openstack/latest/meta_data.json"])


def test_objects_as_disks() -> None:
    made = make(configMap={"name": "conf", "volumeLabel": "my"})
    assert (made.label, made.files) == ("my", {"a.ini": b"x=1", "b.bin": b"\0\1"})
    assert make(secret={"secretName": "lower"}).files["userdata"] == b"#lower"
    assert make(configMap={"name": "none", "optional": True}).files == {}
    assert make(containerDisk={"image": "x"}) is None


def test_answers_for_windows() -> None:
    for volume in ({"configMap": {"name": "win"}}, {"secret": {"name": "win"}}):
        made = make(sysprep=volume)
        assert (made.label, made.files) == ("unattendCD", {"AutoUnattend.xml": b"<x/>"})


def test_what_the_launcher_says_of_itself() -> None:
    pod: Object = {"metadata": {"labels": {"a": "1"}, "name": "virt-launcher-vm1"}, "spec": {"containers": []}}
    fields = [{"path": "in/labels", "fieldRef": {"fieldPath": "metadata.labels"}},
              {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]  # fmt: skip
    made = seed(VMI, {"name": "v", "downwardAPI": {"fields": fields}}, find, pod)
    assert made is not None and made.label == "cfgdata"
    assert made.files == {"in/labels": b'a="1"', "name": b"virt-launcher-vm1"}


@pytest.mark.parametrize(("volume", "why"), [
    ({"sysprep": {"configMap": {"name": "conf"}}}, "neither were found"),
    ({"sysprep": {"secret": {"name": "none"}}}, "Secret shop/none not found"),
    ({"sysprep": {}}, "names neither a ConfigMap nor a Secret"),
    ({"downwardMetrics": {}}, "downwardMetrics is not supported"),
    ({"cloudInitNoCloud": {"secretRef": {"name": "none"}}}, "Secret shop/none not found"),
    ({"configMap": {"name": "none"}}, "ConfigMap shop/none not found"),
    ({"cloudInitNoCloud": {"userDataBase64": "%%"}}, "userDataBase64 is not base64"),
])
def test_what_is_missing_is_named(volume: Object, why: str) -> None:
    with pytest.raises(Problem, match=why) as problem:
        make(**volume)
    assert "volume" in str(problem.value)
