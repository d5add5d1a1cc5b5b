from __future__ import annotations

from typing import Any

from vmpod.model import gvk, meta
from vmpod.model.gvk import GVK

OBJ: dict[str, Any] = {
    "apiVersion": "apps/v1", "kind": "ReplicaSet",
    "metadata": {"name": "x", "namespace": "ns", "uid": "u", "labels": {"a": "b"}, "resourceVersion": "12",
                 "ownerReferences": [{"uid": "o1"}, {"uid": "o2", "controller": True}]},
    "spec": {"list": [{"n": 1}, {"n": None}]},
}


def test_reading() -> None:
    assert (meta.name(OBJ), meta.namespace(OBJ), meta.uid(OBJ), meta.revision(OBJ)) == ("x", "ns", "u", 12)
    assert meta.labels(OBJ) == {"a": "b"}
    assert meta.annotations(OBJ) == {}
    assert meta.ref(OBJ) == meta.Ref("apps/v1", "ReplicaSet", "ns", "x", "u")
    assert not meta.is_deleting(OBJ)
    assert meta.is_deleting({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})


def test_reading_nothing() -> None:
    for empty in ({}, {"metadata": None}, {"metadata": {"labels": None, "resourceVersion": "x"}}):
        assert (meta.name(empty), meta.labels(empty), meta.revision(empty), meta.controller_of(empty)) == ("", {}, 0, None)


def test_labels_are_a_copy() -> None:
    meta.labels(OBJ)["z"] = "y"
    assert meta.labels(OBJ) == {"a": "b"}


def test_get() -> None:
    assert meta.get(OBJ, "spec", "list", 0, "n") == 1
    assert meta.get(OBJ, "spec", "list", 1, "n", default=5) == 5
    assert meta.get(OBJ, "spec", "list", 7, "n") is None
    assert meta.get(OBJ, "spec", "none", "deeper", default="d") == "d"
    assert meta.get(None, "x", default=0) == 0
    assert meta.get(OBJ, "kind", "x") is None


def test_owners() -> None:
    owner = meta.owner_reference(OBJ)
    assert owner == {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": "u", "controller": True,
                     "blockOwnerDeletion": True}
    assert "controller" not in meta.owner_reference(OBJ, controller=False)
    assert meta.controller_of(OBJ) == {"uid": "o2", "controller": True}
    assert meta.is_owned_by(OBJ, "o1")
    assert not meta.is_owned_by(OBJ, "o3")


def test_clone() -> None:
    copy = meta.clone(OBJ)
    assert copy == OBJ
    copy["spec"]["list"][0]["n"] = 2
    assert OBJ["spec"]["list"][0]["n"] == 1


def test_gvk() -> None:
    assert gvk.parse_api_version("v1") == ("", "v1")
    assert gvk.parse_api_version("apps/v1") == ("apps", "v1")
    assert gvk.api_version("", "v1") == "v1"
    assert GVK.of(OBJ) == GVK("apps", "v1", "ReplicaSet")
    assert GVK.of(OBJ).api_version == "apps/v1"
    assert str(GVK("", "v1", "Pod")) == "/v1, Kind=Pod"
