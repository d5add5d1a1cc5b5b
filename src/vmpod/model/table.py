"""Server-side printing: metav1.Table, and ages as kubectl prints them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vmpod.base import clock
from vmpod.model import fieldpath
from vmpod.model.meta import Object

Cell = Callable[[Object, datetime], object]


@dataclass(frozen=True)
class Column:
    """One column. The cell is what `value` returns, else what `path` leads to.

    `type` is that of OpenAPI (string, integer, number, boolean) or `date`, which prints the age of an
    RFC 3339 time. Priority 0 is always shown, 1 by `-o wide`. `format` `name` marks the column of the object's name.
    """

    name: str
    type: str = "string"
    path: str = ""
    value: Cell | None = None
    priority: int = 0
    format: str = ""
    description: str = ""

    def definition(self) -> Object:
        """The metav1.TableColumnDefinition."""
        return {
            "name": self.name, "type": "string" if self.type == "date" else self.type, "format": self.format,
            "description": self.description, "priority": self.priority,
        }

    def cell(self, obj: Object, now: datetime) -> object:
        """What the column shows of an object."""
        if self.value is not None:
            return self.value(obj, now)
        found = fieldpath.lookup(obj, self.path) if self.path else None
        if self.type == "date":
            return age(found, now)
        if found is None:
            return "" if self.type == "string" else None
        return _as_type(found, self.type)


def _as_type(value: object, type: str) -> object:
    if type != "string" or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        import orjson

        return orjson.dumps(value).decode()
    return str(value)


NAME = Column(
    "Name", path="metadata.name", format="name",
    description=(
        "Name must be unique within a namespace. Is required when creating resources, although some "
        "resources may allow a client to request the generation of an appropriate name automatically. Name "
        "is primarily intended for creation idempotence and configuration definition. Cannot be updated. "
        "More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
    ),
)
AGE = Column(
    "Age", type="date", path="metadata.creationTimestamp",
    description=(
        "CreationTimestamp is a timestamp representing the server time when this object was created. It is "
        "not guaranteed to be set in happens-before order across separate operations. Clients may not set "
        "this value. It is represented in RFC3339 form and is in UTC."
    ),
)


def render(
    columns: Iterable[Column],
    objects: Iterable[Object],
    now: datetime,
    include: str = "Metadata",
    *,
    revision: str = "",
    version: str = "v1",
    headers: bool = True,
) -> Object:
    """A Table of the objects.

    `include` is the request's includeObject: what of each object rides in its row (Metadata, Object or None).
    `headers` is False for all but the first event of a watch. `revision` is the list's resourceVersion.
    """
    shown = tuple(columns)
    rows = [_row(shown, obj, now, include, version) for obj in objects]
    return {
        "kind": "Table", "apiVersion": f"meta.k8s.io/{version}",
        "metadata": {"resourceVersion": revision} if revision else {},
        "columnDefinitions": [column.definition() for column in shown] if headers else [],
        "rows": rows,
    }


def _row(columns: tuple[Column, ...], obj: Object, now: datetime, include: str, version: str) -> Object:
    row: Object = {"cells": [column.cell(obj, now) for column in columns]}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = partial(obj, version)
    return row


def partial(obj: Mapping[str, Any], version: str = "v1") -> Object:
    """The metav1.PartialObjectMetadata of an object."""
    return {
        "kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}",
        "metadata": obj.get("metadata") or {},
    }


def age(moment: str | datetime | None, now: datetime) -> str:
    """The time since `moment` as kubectl's AGE column shows it: `<unknown>` when there is none."""
    if not moment:
        return "<unknown>"
    try:
        then = clock.parse(moment) if isinstance(moment, str) else moment
    except ValueError:
        return "<invalid>"
    return human_duration((now - then).total_seconds())


def human_duration(seconds_passed: float) -> str:
    """A duration with two or three digits of truth: k8s.io/apimachinery/pkg/util/duration.HumanDuration.

    Up to two seconds in the future counts as 0s (clocks differ), more is `<invalid>`.
    """
    seconds = int(seconds_passed)
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    if seconds < 120:
        return f"{seconds}s"
    minutes = seconds // 60
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = seconds // 3600
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    return _long_duration(hours)


def _long_duration(hours: int) -> str:
    days = hours // 24
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    years = days // 365
    return _two(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
