"""Request bodies: JSON or YAML into an object, with the strictness that `fieldValidation` asks for."""

from __future__ import annotations

import json
from typing import Any

import orjson

from vmpod.api import protobuf
from vmpod.api.call import Call
from vmpod.base.errors import Problem
from vmpod.kinds import schema
from vmpod.model import meta, status, yaml
from vmpod.model.meta import Object

_JSON = (  # virtctl states no type; curl states the form's
    "", "application/json", "text/json", "application/octet-stream", "application/x-www-form-urlencoded",
)
_YAML = ("application/yaml", "application/x-yaml", "text/yaml")
_MODES = ("", "Ignore", "Warn", "Strict")
SUPPORTED = ("application/json", "application/yaml", protobuf.MEDIA)


def content_type(call: Call) -> str:
    """The media type of the body, without parameters; empty when none is stated."""
    return call.request.headers.get("content-type", "").partition(";")[0].strip().lower()


def read_object(call: Call) -> Object:
    """The body as an object. Raises ApiError 400 when it is none, 415 for a type that we cannot read."""
    data = read_any(call)
    if not isinstance(data, dict):
        raise status.bad_request("the request body is not an object")
    return data


def read_any(call: Call) -> Any:
    """The body decoded; an empty one is an error."""
    if not call.request.body:
        raise status.bad_request("the request body is empty: an object was expected")
    if content_type(call) in _YAML:
        return _from_yaml(call.request.body)
    if content_type(call) == protobuf.MEDIA:
        return _from_protobuf(call.request.body)
    if content_type(call) not in _JSON:
        raise status.unsupported_media_type(SUPPORTED)
    return from_json(call.request.body)


def from_json(body: bytes) -> Any:
    """JSON decoded. Raises ApiError 400."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise status.bad_request(f"couldn't get version/kind; json parse error: {fault}") from None


def _from_protobuf(body: bytes) -> Any:
    try:
        return protobuf.decode(body)
    except protobuf.Unreadable as fault:
        raise status.bad_request(f"couldn't decode the protobuf body: {fault}") from None


def _from_yaml(body: bytes) -> Any:
    try:
        documents = yaml.load_all(body.decode())
    except (Problem, UnicodeDecodeError) as fault:
        raise status.bad_request(f"error converting YAML to JSON: {fault}") from None
    if len(documents) != 1:
        raise status.bad_request("the request body must hold one YAML document")
    return documents[0].obj


def read_kind(call: Call) -> Object:
    """The body as an object of the call's kind; kind and apiVersion are filled in when absent.

    Raises ApiError 400 when it says that it is of another kind.
    """
    obj = read_object(call)
    said = (obj.get("apiVersion") or call.api_version, obj.get("kind") or call.kind.kind)
    if said != (call.api_version, call.kind.kind):
        raise status.bad_request(
            f"{said[1]} in version {status.quote(str(said[0]).rpartition('/')[2])} cannot be handled as a "
            f"{call.kind.kind}: no kind {status.quote(str(said[1]))} is registered for version "
            f"{status.quote(str(said[0]))} in this resource, which takes {call.api_version}, Kind={call.kind.kind}"
        )
    if not isinstance(obj.get("metadata", {}), dict):
        raise status.bad_request(f"{_title(call)}: json: cannot unmarshal metadata into an ObjectMeta")
    obj["apiVersion"], obj["kind"] = call.kind.api_version, call.kind.kind
    return obj


def field_validation(call: Call) -> str:
    """The mode asked for; Warn unless said. Raises ApiError 422 for another word."""
    mode = call.query("fieldValidation")
    if mode not in _MODES:
        fault = status.not_supported("fieldValidation", mode, ("", "Ignore", "Strict", "Warn"))
        raise status.invalid("CreateOptions.meta.k8s.io", "", [fault])
    return mode or "Warn"


def checked_fields(call: Call, obj: Object) -> Object:
    """The object of a POST or PUT without fields that its kind does not have.

    What is dropped is an error 400 under Strict, a warning under Warn, both in the words of kube-apiserver.
    Values of a wrong type are an error in every mode.
    """
    obj, faults = known_fields(call, obj)
    if faults:
        raise status.bad_request(f"{_title(call)}: strict decoding error: {', '.join(faults)}")
    return obj


def known_fields(call: Call, obj: Object) -> tuple[Object, list[str]]:
    """The object without unknown fields, and what Strict refuses; Warn has warned of it."""
    mode = field_validation(call)
    if not call.request.shared:
        _check_types(call, obj)
    unknown = schema.unknown_fields(call.kind, obj)
    faults = [f'unknown field "{path}"' for path in unknown]
    if mode != "Ignore":
        faults += [f'duplicate field "{path}"' for path in duplicate_fields(call)]
    if mode == "Warn":
        call.warnings.extend(text for text in faults if text not in call.warnings)
    return schema.prune(call.kind, obj) if unknown else obj, faults if mode == "Strict" else []


def _check_types(call: Call, obj: Object) -> None:
    """Raises ApiError: 400 for built-in kinds, whose decoder fails; 422 with every fault for those of a CRD."""
    faults = schema.type_errors(call.kind, obj)
    if faults and schema.is_custom(call.kind):
        raise status.invalid(call.kind.kind, meta.name(obj), faults, call.kind.group)
    for fault in faults:
        if fault.type == status.TYPE_INVALID:
            raise status.bad_request(f"{_title(call)}: json: {fault.path}: {fault.message or fault.body}")


def _title(call: Call) -> str:
    kind = call.kind
    return f"{kind.kind} in version {status.quote(call.version)} cannot be handled as a {kind.kind}"


def duplicate_fields(call: Call) -> list[str]:
    """Paths of keys that stand twice in a JSON body; the last one won."""
    if content_type(call) not in _JSON or not call.request.body or call.request.shared:
        return []
    found: list[str] = []
    _find_duplicates(json.loads(call.request.body, object_pairs_hook=_Pairs), "", found)
    return list(dict.fromkeys(found))


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON as the pairs in which it was written."""


def _find_duplicates(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, below in value:
            here = f"{path}.{key}" if path else key
            if key in seen:
                found.append(here)
            seen.add(key)
            _find_duplicates(below, here, found)
    elif isinstance(value, list):
        for position, below in enumerate(value):
            _find_duplicates(below, f"{path}[{position}]", found)
