"""ConfigMap: rules and cells."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.kinds import CONFIGMAP
from vmpod.model.meta import Object

from .objects import faults, header, line

FROZEN = "field is immutable when `immutable` is set"


def config(**fields: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}, **fields}


@pytest.mark.parametrize(("fields", "told"), [
    ({"data": {"a b": "x"}}, "data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric "
     "characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
     "'[-._a-zA-Z0-9]+')"),
    ({"data": {"a": 5}}, "data[a]: Invalid value: 5: must be a string"),
    ({"binaryData": {"a": "?"}}, 'binaryData[a]: Invalid value: "?": must be base64 encoded'),
    ({"data": {"a": ""}, "binaryData": {"a": ""}},
     'data[a]: Invalid value: "a": duplicate of key present in binaryData'),
    ({"data": {"a": "x" * (1024 * 1024 + 1)}}, "data: Too long: may not be more than 1048576 bytes"),
])
def test_wrong(fields: Object, told: str) -> None:
    assert faults(CONFIGMAP, config(**fields)) == [told]


def test_immutable() -> None:
    old = config(data={"a": "1"}, immutable=True)
    assert faults(CONFIGMAP, config(data={"a": "2"}), old) == [f"immutable: Forbidden: {FROZEN}", f"data: Forbidden: {FROZEN}"]
    assert faults(CONFIGMAP, config(data={"a": "1"}, immutable=True), old) == []
    assert faults(CONFIGMAP, config(data={"a": "2"}), config(data={"a": "1"})) == []


def test_line() -> None:
    assert header(CONFIGMAP) == "NAME DATA AGE"
    obj = config(data={"a": "1"}, binaryData={"b": "MQ=="})
    assert line(CONFIGMAP, obj, "2026-01-01T00:00:00Z") == ["c", 2, "<unknown>"]
