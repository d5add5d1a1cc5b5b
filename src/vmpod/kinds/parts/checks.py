"""Checks of single values, with apimachinery's texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from posixpath import normpath

from vmpod.kinds.parts.reading import mapping
from vmpod.model import names, quantity
from vmpod.model.meta import Object
from vmpod.model.status import DUPLICATE, TYPE_INVALID, FieldError, not_supported, required, wrong

NOT_NEGATIVE = "must be greater than or equal to 0"
PORT_RANGE = "must be between 1 and 65535, inclusive"
IMMUTABLE = "field is immutable"
PROTOCOLS = ("SCTP", "TCP", "UDP")


def by_rule(path: str, value: str, rule: Callable[[str], list[str]]) -> list[FieldError]:
    """The faults of a text by one of the rules of model.names."""
    return [wrong(path, value, fault) for fault in rule(value)]


def needed(holder: Object, key: str, path: str, why: str = "") -> list[FieldError]:
    """An error when the field is missing or empty."""
    return [] if holder.get(key) not in (None, "", [], {}) else [required(f"{path}.{key}", why)]


def one_of(holder: Object, key: str, path: str, values: Iterable[str]) -> list[FieldError]:
    """An error when the field is given and none of these values."""
    value = holder.get(key)
    return [not_supported(f"{path}.{key}", value, tuple(values))] if value and value not in values else []


def inner_path_errors(value: str, path: str) -> list[FieldError]:
    """The faults of a file's path inside an image, with KubeVirt's texts; empty is none."""
    if value == "/":
        return [wrong(path, value, f"{path} must not point to root")]
    if value and normpath(f"/{value.lstrip('/')}") != value.rstrip("/"):
        return [wrong(path, value, f"{path} must be an absolute path to a file without relative components")]
    return []


def port_errors(value: object, path: str) -> list[FieldError]:
    """A port number that must be there."""
    if not value:
        return [required(path)]
    if not isinstance(value, int) or isinstance(value, bool):
        return [FieldError(path, TYPE_INVALID, "must be an integer", value)]
    return [] if 1 <= value <= 65535 else [wrong(path, value, PORT_RANGE)]


def port_or_name_errors(value: object, path: str) -> list[FieldError]:
    """An IntOrString that names a port."""
    if isinstance(value, str) and value:
        return by_rule(path, value, names.port_name_faults)
    if isinstance(value, int) and not 1 <= value <= 65535:
        return [wrong(path, value, PORT_RANGE)]
    return [] if value else [required(path)]


def not_negative(holder: Object, keys: Iterable[str], path: str) -> list[FieldError]:
    """Whole numbers, none below zero."""
    errors = []
    for key in keys:
        value = holder.get(key)
        if isinstance(value, bool) or (value is not None and not isinstance(value, int)):
            errors.append(FieldError(f"{path}.{key}", TYPE_INVALID, "must be an integer", value))
        elif value is not None and value < 0:
            errors.append(wrong(f"{path}.{key}", value, NOT_NEGATIVE))
    return errors


def quantity_errors(value: object, path: str) -> list[FieldError]:
    """A quantity that is not below zero."""
    if not isinstance(value, (str, int, float)) or not quantity.is_valid(value):
        return [wrong(path, value, quantity.RULE)]
    return [wrong(path, value, NOT_NEGATIVE)] if quantity.parse(value) < 0 else []


def duplicates(values: Iterable[tuple[str, str]]) -> list[FieldError]:
    """Errors for (path, value) pairs whose value was there before; empty values are skipped."""
    seen: set[str] = set()
    errors = []
    for path, value in values:
        if value and value in seen:
            errors.append(FieldError(path, DUPLICATE, "", value))
        seen.add(value)
    return errors


def immutable(new: object, old: object, keys: Iterable[str], path: str = "") -> list[FieldError]:
    """Errors for fields that differ from the stored ones."""
    after, before = mapping(new), mapping(old)
    return [
        wrong(f"{path}.{key}" if path else key, after.get(key), IMMUTABLE)
        for key in keys if after.get(key) != before.get(key)
    ]


def resource_errors(resources: object, path: str) -> list[FieldError]:
    """Requests and limits of a container: real quantities of known resources, no request above its limit."""
    errors = []
    limits, requests = mapping(mapping(resources).get("limits")), mapping(mapping(resources).get("requests"))
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, value in amounts.items():
            here = f"{path}.{kind}[{name}]"
            errors += _resource_name_errors(name, here)
            errors += quantity_errors(value, here)
    for name, value in requests.items():
        errors += _above_limit(name, value, limits.get(name), f"{path}.requests")
    return errors


_STANDARD = ("cpu", "memory", "ephemeral-storage")


def _resource_name_errors(name: str, path: str) -> list[FieldError]:
    if name in _STANDARD or name.startswith("hugepages-") or "/" in name:
        return by_rule(path, name, names.label_key_faults)
    return [wrong(path, name, "must be a standard resource type or fully qualified"),
            wrong(path, name, "must be a standard resource for containers")]


def _above_limit(name: str, request: object, limit: object, path: str) -> list[FieldError]:
    if limit is None or not all(isinstance(v, (str, int, float)) and quantity.is_valid(v) for v in (request, limit)):
        return []
    if quantity.parse(request) <= quantity.parse(limit):  # type: ignore[arg-type]  # both were just checked
        return []
    return [wrong(path, request, f"must be less than or equal to {name} limit of {limit}")]
