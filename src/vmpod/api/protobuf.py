"""Kubernetes' protobuf bodies, read into the objects that JSON would give.

Typed Go clients (`kubectl create`, since 1.33) send nothing else. The envelope is k8s.io/apimachinery's
runtime/serializer/protobuf: four magic bytes, then a runtime.Unknown. Answers are always JSON, which they all accept.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any, Final

import orjson

from vmpod.base import clock
from vmpod.model.meta import Object

MEDIA: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\x00"
_DEEPEST: Final = 100
_ZERO: Final[tuple[Any, ...]] = ("", 0, False)
_MAX_VARINT_BITS: Final = 70


class Unreadable(ValueError):
    """Bytes that are no message of ours."""


@dataclass(frozen=True)
class Field:
    """One field of a message, as messages.txt tells of it."""

    name: str
    type: str
    repeated: bool = False
    inline: bool = False
    keeps_zero: bool = False
    is_map: bool = False


def decode(body: bytes) -> Object:
    """The object in an envelope, with apiVersion and kind. Raises Unreadable."""
    if not body.startswith(_MAGIC):
        raise Unreadable("the body does not start with the protobuf magic bytes")
    envelope = dict(_fields(body[len(_MAGIC) :]))
    named = {number: _text(value) for number, value in _fields(_bytes(envelope.get(1, b"")))}
    api_version, kind = named.get(1, ""), named.get(2, "")
    name = _message_name(api_version, kind)
    if name is None:
        raise Unreadable(f"no protobuf message is known for {api_version}, Kind={kind}")
    return {"apiVersion": api_version, "kind": kind, **_message(name, _bytes(envelope.get(2, b"")), 0)}


def _message_name(api_version: str, kind: str) -> str | None:
    group, _, version = api_version.rpartition("/")
    for name in (f"{group.partition('.')[0] or 'core'}.{version}.{kind}", f"meta.v1.{kind}"):
        if name in _messages():
            return name
    return None


@cache
def _messages() -> dict[str, str]:
    """The lines of the table, by message; parsed when first needed."""
    text = resources.files(__package__).joinpath("messages.txt").read_text()
    lines = (line.partition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: fields for name, _, fields in lines}


@cache
def _shape(name: str) -> dict[int, Field]:
    fields = {}
    for word in _messages()[name].split():
        field, _, rest = word.partition("=")
        number, _, kind = rest.partition(":")
        fields[int(number)] = Field(
            field, kind.strip("!*^{}"), "*" in kind, "^" in kind, "!" in kind, kind.startswith("{")
        )
    return fields


def _message(name: str, data: bytes, depth: int) -> Object:
    if depth > _DEEPEST:
        raise Unreadable("messages are nested too deeply")
    found: Object = {}
    shape = _shape(name)
    for number, raw in _fields(data):
        if (field := shape.get(number)) is not None:
            _put(found, field, raw, depth)
    return found


def _put(found: Object, field: Field, raw: int | bytes, depth: int) -> None:
    if field.is_map:
        key, value = _entry(field.type, _bytes(raw), depth)
        found.setdefault(field.name, {})[key] = value
        return
    value = _value(field.type, raw, depth)
    if field.inline:
        found.update(value)
    elif field.repeated:
        found.setdefault(field.name, []).append(value)
    elif value is not None and (field.keeps_zero or isinstance(value, (dict, list)) or value not in _ZERO):
        found[field.name] = value


def _entry(kind: str, data: bytes, depth: int) -> tuple[str, Any]:
    pair = dict(_fields(data))
    empty: int | bytes = 0 if kind in ("i", "b") else b""
    return _text(pair.get(1, b"")), _value(kind, pair.get(2, empty), depth)


def _value(kind: str, raw: int | bytes, depth: int) -> Any:
    match kind:
        case "s":
            return _text(raw)
        case "i":
            return _signed(raw)
        case "b":
            return bool(raw)
        case "y":
            return base64.b64encode(_bytes(raw)).decode()
    special = _SPECIAL.get(kind)
    return special(_bytes(raw)) if special else _message(kind, _bytes(raw), depth + 1)


def _signed(raw: int | bytes) -> int:
    if not isinstance(raw, int):
        raise Unreadable("a number was expected")
    return raw - (1 << 64) if raw >> 63 else raw


def _text(raw: int | bytes) -> str:
    try:
        return _bytes(raw).decode()
    except UnicodeDecodeError:
        raise Unreadable("text that is not UTF-8") from None


def _bytes(raw: int | bytes) -> bytes:
    if not isinstance(raw, bytes):
        raise Unreadable("bytes were expected")
    return raw


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields on the wire: (number, value)."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        match tag & 7:
            case 0:
                value, at = _varint(data, at)
                yield tag >> 3, value
            case 2:
                length, at = _varint(data, at)
                if at + length > len(data):
                    raise Unreadable("a field ends too early")
                yield tag >> 3, data[at : at + length]
                at += length
            case other:
                raise Unreadable(f"wire type {other} is not used by Kubernetes")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _MAX_VARINT_BITS, 7):
        if at >= len(data):
            raise Unreadable("a number ends too early")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise Unreadable("a number is too long")


def _moment(data: bytes) -> datetime | None:
    parts: Mapping[int, int | bytes] = dict(_fields(data))
    if not parts:
        return None
    try:
        moment = datetime.fromtimestamp(_signed(parts.get(1, 0)), UTC)
    except (OverflowError, OSError, ValueError):
        raise Unreadable("a time out of range") from None
    return moment.replace(microsecond=_signed(parts.get(2, 0)) // 1000 % 1_000_000)


def _time(data: bytes) -> str | None:
    moment = _moment(data)
    return clock.rfc3339(moment) if moment else None


def _micro_time(data: bytes) -> str | None:
    moment = _moment(data)
    return clock.rfc3339_micro(moment) if moment else None


def _quantity(data: bytes) -> str:
    return _text(dict(_fields(data)).get(1, b"0")) or "0"


def _int_or_string(data: bytes) -> int | str:
    parts = dict(_fields(data))
    return _text(parts.get(3, b"")) if parts.get(1) == 1 else _signed(parts.get(2, 0))


def _raw_json(data: bytes) -> Any:
    raw = _bytes(dict(_fields(data)).get(1, b""))
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        raise Unreadable("JSON inside a message is broken") from None


def _list_of_text(data: bytes) -> list[str]:
    return [_text(value) for _, value in _fields(data)]


_SPECIAL: Final = {
    "meta.v1.Time": _time,
    "meta.v1.MicroTime": _micro_time,
    "api.resource.Quantity": _quantity,
    "util.intstr.IntOrString": _int_or_string,
    "runtime.RawExtension": _raw_json,
    "meta.v1.FieldsV1": _raw_json,
    "authentication.v1.ExtraValue": _list_of_text,
    "authorization.v1.ExtraValue": _list_of_text,
}
