from __future__ import annotations

from typing import Any

import pytest

from vmpod.model import fieldpath

OBJ: dict[str, Any] = {
    "metadata": {"labels": {"a": "b", "example.org/x": "y", "it's": "z"}},
    "status": {"podIPs": [{"ip": "1"}, {"ip": "2"}], "conditions": [
        {"type": "Ready", "status": "True"}, {"type": "Paused", "status": "False", "ok": True}], "none": None},
}


@pytest.mark.parametrize(("path", "value"), [
    ("metadata.labels['a']", "b"), ("metadata.labels['example.org/x']", "y"), ('metadata.labels["a"]', "b"),
    (r"metadata.labels['it\'s']", "z"), ("{.metadata.labels.a}", "b"), (".metadata.labels.a", "b"), (r"metadata.labels.example\.org/x", "y"),
    ("status.podIPs[0].ip", "1"), ("status.podIPs[-1].ip", "2"), ("status.podIPs[9].ip", None), ("status.podIPs[*].ip", "1"),
    ('.status.conditions[?(@.type=="Ready")].status', "True"), (".status.conditions[?(@.type=='Paused')].status", "False"),
    ("status.conditions[?(@.ok==true)].type", "Paused"), ("status.none", None), ("status.none.x", None), ("none", None), ("metadata.labels.*", "b"),
])
def test_lookup(path: str, value: Any) -> None:
    assert fieldpath.lookup(OBJ, path) == value


def test_find_all() -> None:
    assert fieldpath.find_all(OBJ, "status.podIPs[*].ip") == ["1", "2"]
    assert fieldpath.lookup(OBJ, "x.y", default="d") == "d"


@pytest.mark.parametrize("path", ["a[", "a[x]", "a[?(@.b>1)]", "a..b", "a b"])
def test_wrong_syntax(path: str) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        fieldpath.lookup({}, path)
