"""Volumes made of objects' data: which files, with which modes, switched in one step."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from vmpod.base.errors import Problem
from vmpod.model.meta import Object
from vmpod.node.datafiles import write_files
from vmpod.node.translate.files import File, files

OBJECTS: dict[tuple[str, str], Object] = {
    ("ConfigMap", "settings"): {"kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1", "b": "2"},
                                "binaryData": {"c": base64.b64encode(b"\0\1").decode()}},
    ("Secret", "keys"): {"kind": "Secret", "metadata": {"name": "keys"}, "data": {"token": base64.b64encode(b"abc").decode()}},
}  # fmt: skip
POD: Object = {
    "metadata": {"name": "web-1", "namespace": "shop", "uid": "u1", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "web", "resources": {"limits": {"memory": "64Mi", "cpu": "250m"}}}]},
}


def lookup(kind: str, name: str) -> Object | None:
    return OBJECTS.get((kind, name))


def found(volume: Object) -> dict[str, tuple[bytes, int]]:
    return {file.path: (file.content, file.mode) for file in files(volume, POD, lookup) or ()}


@pytest.mark.parametrize(("volume", "expected"), [
    ({"configMap": {"name": "settings"}}, {"a": (b"1", 0o644), "b": (b"2", 0o644), "c": (b"\0\1", 0o644)}),
    ({"configMap": {"name": "settings", "defaultMode": 0o400, "items": [{"key": "a", "path": "x/y"},
                                                                        {"key": "b", "path": "z", "mode": 0o755}]}},
     {"x/y": (b"1", 0o400), "z": (b"2", 0o755)}),
    ({"secret": {"secretName": "keys", "defaultMode": 0o440}}, {"token": (b"abc", 0o440)}),
    ({"configMap": {"name": "nothing", "optional": True}}, {}),
    ({"configMap": {"name": "settings", "optional": True, "items": [{"key": "no", "path": "x"}]}}, {}),
    ({"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
                                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                                {"path": "cpu", "resourceFieldRef": {"resource": "limits.cpu", "containerName": "web"}},
                                {"path": "mi", "resourceFieldRef": {"resource": "limits.memory", "containerName": "web",
                                                                    "divisor": "1Mi"}}]}},
     {"name": (b"web-1", 0o644), "labels": (b'app="web"', 0o644), "cpu": (b"1", 0o644), "mi": (b"64", 0o644)}),
    ({"projected": {"defaultMode": 0o600, "sources": [{"configMap": {"name": "settings", "items": [{"key": "a", "path": "a"}]}},
                                                      {"secret": {"name": "keys"}}]}},
     {"a": (b"1", 0o600), "token": (b"abc", 0o600)}),
])  # fmt: skip
def test_files(volume: Object, expected: dict[str, Any]) -> None:
    assert found(volume) == expected


@pytest.mark.parametrize(("volume", "why"), [
    ({"configMap": {"name": "nothing"}}, 'configmap "nothing" not found'),
    ({"secret": {"secretName": "nothing"}}, 'secret "nothing" not found'),
    ({"configMap": {"name": "settings", "items": [{"key": "no", "path": "x"}]}}, "references non-existent configmap key: no"),
    ({"configMap": {"name": "settings", "items": [{"key": "a", "path": "../x"}]}}, "is not one below the volume"),
    ({"configMap": {"name": "settings", "items": [{"key": "a", "path": "/etc/x"}]}}, "is not one below the volume"),
])  # fmt: skip
def test_what_is_missing_is_told(volume: Object, why: str) -> None:
    with pytest.raises(Problem, match=why):
        files(volume, POD, lookup)


def test_other_volumes_have_no_files() -> None:
    assert files({"emptyDir": {}}, POD, lookup) is None


def test_a_volume_follows_its_object_in_one_step(tmp_path: Path) -> None:
    write_files(tmp_path, [File("a", b"1"), File("deep/b", b"2", 0o400)])
    assert (tmp_path / "a").read_bytes() == b"1" and (tmp_path / "deep/b").read_bytes() == b"2"
    assert (tmp_path / "deep/b").stat().st_mode & 0o777 == 0o400
    before = (tmp_path / "..data").resolve()
    write_files(tmp_path, [File("a", b"1"), File("deep/b", b"2", 0o400)])
    assert (tmp_path / "..data").resolve() == before, "nothing changed, nothing is written"
    write_files(tmp_path, [File("a", b"9"), File("new", b"3")])
    assert (tmp_path / "a").read_bytes() == b"9" and (tmp_path / "new").read_bytes() == b"3"
    assert not (tmp_path / "deep").exists() and not before.exists()
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("..")) == ["a", "new"]
