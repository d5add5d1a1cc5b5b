"""Cells that several tables share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from vmpod.kinds.parts.reading import dig, entries, mapping, text
from vmpod.model import selectors
from vmpod.model.meta import Object
from vmpod.model.status import ApiError
from vmpod.model.table import Column

NONE = "<none>"


def cell(name: str, show: Callable[[Object], Any], type: str = "string", *, wide: bool = False) -> Column:
    """A column whose cell needs no clock."""

    def value(obj: Object, now: datetime) -> object:
        return show(obj)

    return Column(name, type=type, value=value, priority=1 if wide else 0)


def format_labels(labels: object) -> str:
    """A plain map as `a=b,c=d`, sorted (labels.FormatLabels)."""
    return ",".join(f"{key}={value}" for key, value in sorted(mapping(labels).items())) or NONE


def format_selector(selector: object) -> str:
    """A LabelSelector as kubectl prints it (metav1.FormatLabelSelector)."""
    try:
        return str(selectors.from_object(mapping(selector))) or NONE
    except (ApiError, TypeError, ValueError):
        return "<error>"


def template_columns() -> tuple[Column, ...]:
    """The wide columns of everything that holds a pod template and a selector."""

    def joined(key: str) -> Callable[[Object], str]:
        return lambda obj: ",".join(
            text(container, key) for container in entries(dig(obj, "spec", "template", "spec"), "containers")
        )

    return (
        cell("Containers", joined("name"), wide=True),
        cell("Images", joined("image"), wide=True),
        cell("Selector", lambda obj: format_selector(dig(obj, "spec").get("selector")), wide=True),
    )


def condition_status(obj: Object, type: str) -> str | None:
    """`status` of a condition, None when it is not there (an empty cell)."""
    found = (entry for entry in entries(obj.get("status"), "conditions") if entry.get("type") == type)
    return next((text(entry, "status") for entry in found), None)


def access_modes(modes: object) -> str:
    """Access modes in kubectl's short form: `RWO,RWX`."""
    short = {
        "ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP",
    }
    found = modes if isinstance(modes, list) else []
    return ",".join(code for mode, code in short.items() if mode in found)


def with_more(shown: list[str], empty: str) -> str:
    """The first three entries, and how many were left out: `a,b,c + 2 more...`."""
    head = ",".join(shown[:3])
    return f"{head} + {len(shown) - 3} more..." if len(shown) > 3 else head or empty
