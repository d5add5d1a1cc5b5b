"""Protobuf bodies become what JSON would have said."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.api import protobuf


def varint(number: int) -> bytes:
    number &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\0" + field(1, field(1, api_version) + field(2, kind)) + field(2, raw) + field(3, "") + field(4, "")


def entry(key: str, value: int | bytes | str) -> bytes:
    return field(1, key) + field(2, value)


CASES: list[tuple[str, str, bytes, dict[str, Any]]] = [
    # what kubectl 1.33 sent for `create configmap a --from-literal=x=1`, empty fields and all
    ("v1", "ConfigMap", bytes.fromhex(
        "0a110a016112001a0022002a00320038004200" "12060a0178120131"), {"metadata": {"name": "a"}, "data": {"x": "1"}}),
    ("v1", "Secret", field(2, entry("k", b"\x00\xff")), {"data": {"k": "AP8="}}),
    ("apps/v1", "Deployment", field(2, field(1, 0)), {"spec": {"replicas": 0}}),
    ("v1", "Pod", field(2, field(4, 0) + field(13, 0)), {"spec": {"terminationGracePeriodSeconds": 0}}),
    ("v1", "Service", field(2, field(1, field(3, 80) + field(4, field(1, 1) + field(3, "http")))),
     {"spec": {"ports": [{"port": 80, "targetPort": "http"}]}}),
    ("v1", "Service", field(2, field(1, field(4, field(1, 0) + field(2, 8080) + field(3, "")))),
     {"spec": {"ports": [{"targetPort": 8080}]}}),
    ("v1", "Pod", field(2, field(1, field(1, "v") + field(2, field(2, b"")))), {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
    ("v1", "Pod", field(2, field(2, field(3, "") + field(8, field(1, entry("cpu", field(1, "1")))))),
     {"spec": {"containers": [{"resources": {"limits": {"cpu": "1"}}, "command": [""]}]}}),
    ("v1", "ConfigMap", field(1, field(8, field(1, 1_700_000_000))), {"metadata": {"creationTimestamp": "2023-11-14T22:13:20Z"}}),
    ("coordination.k8s.io/v1", "Lease", field(2, field(4, field(1, 1_700_000_000) + field(2, 5000))),
     {"spec": {"renewTime": "2023-11-14T22:13:20.000005Z"}}),
    ("apps/v1", "Deployment", field(2, field(5, -1)), {"spec": {"minReadySeconds": -1}}),
    ("v1", "DeleteOptions", field(1, 0) + field(4, "Orphan"), {"gracePeriodSeconds": 0, "propagationPolicy": "Orphan"}),
]  # fmt: skip


@pytest.mark.parametrize(("api_version", "kind", "raw", "wanted"), CASES)
def test_messages(api_version: str, kind: str, raw: bytes, wanted: dict[str, Any]) -> None:
    assert protobuf.decode(envelope(api_version, kind, raw)) == {"apiVersion": api_version, "kind": kind, **wanted}


@pytest.mark.parametrize(
    "body",
    [
        b"{}", envelope("v1", "Nope", b""), envelope("v1", "ConfigMap", b"\x0a\x7f"), envelope("v1", "ConfigMap", b"\x08\x01"),
        envelope("v1", "ConfigMap", b"\xff" * 12), envelope("v1", "ConfigMap", field(1, field(1, b"\xff"))),
        envelope("v1", "ConfigMap", struct.pack("<Bd", 1 << 3 | 1, 1.0)),
    ],
)
def test_broken_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(protobuf.Unreadable):
        protobuf.decode(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(protobuf.Unreadable):
        protobuf.decode(envelope("v1", "Pod", raw))


def test_every_message_of_the_table_can_be_read() -> None:
    for name in protobuf._messages():
        for one in protobuf._shape(name).values():
            assert one.type in ("s", "i", "b", "y") or one.type in protobuf._messages(), (name, one)
