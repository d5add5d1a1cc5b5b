"""Secret: stringData, the rules of each type, cells."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.kinds import SECRET
from vmpod.model.meta import Object

from .objects import faults, header, line


def secret(**fields: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}, **fields}


def test_string_data_is_written_into_data() -> None:
    made = SECRET.default(secret(data={"a": "MQ==", "b": "Mg=="}, stringData={"b": "3"}))
    assert made["data"] == {"a": "MQ==", "b": "Mw=="}
    assert made["type"] == "Opaque"
    assert "stringData" not in made


def test_string_data_that_is_no_text_stays_for_the_rules() -> None:
    assert faults(SECRET, secret(stringData={"a": 5})) == [
        'stringData[a]: Invalid value: "<secret contents redacted>": must be a string',
    ]


@pytest.mark.parametrize(("fields", "told"), [
    ({"data": {"a": "?"}}, ['data[a]: Invalid value: "<secret contents redacted>": must be base64 encoded']),
    ({"type": "kubernetes.io/tls"}, ["data[tls.crt]: Required value", "data[tls.key]: Required value"]),
    ({"type": "kubernetes.io/ssh-auth"}, ["data[ssh-privatekey]: Required value"]),
    ({"type": "kubernetes.io/basic-auth"}, ["data[username]: Required value", "data[password]: Required value"]),
    ({"type": "kubernetes.io/dockerconfigjson"}, ["data[.dockerconfigjson]: Required value"]),
    ({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30="}}, []),
    ({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "ew=="}},
     ['data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": must be JSON']),
    ({"type": "kubernetes.io/service-account-token"},
     ["metadata.annotations[kubernetes.io/service-account.name]: Required value"]),
    ({"type": "example.com/own", "data": {"x": "eA=="}}, []),
])
def test_rules(fields: Object, told: list[str]) -> None:
    assert faults(SECRET, secret(**fields)) == told


def test_type_is_immutable() -> None:
    assert faults(SECRET, secret(type="a"), secret()) == ['type: Invalid value: "a": field is immutable']


def test_immutable_data() -> None:
    old = secret(data={"a": "MQ=="}, immutable=True)
    told = faults(SECRET, secret(data={"a": "Mg=="}, immutable=True), old)
    assert told == ["data: Forbidden: field is immutable when `immutable` is set"]


def test_line() -> None:
    assert header(SECRET) == "NAME TYPE DATA AGE"
    obj = SECRET.default(secret(stringData={"a": "1"}))
    assert line(SECRET, obj, "2026-01-01T00:00:00Z") == ["s", "Opaque", 1, "<unknown>"]
