"""How QEMU's option strings are written."""

from __future__ import annotations

import json
from collections.abc import Mapping

UNDERSCORED = frozenset(("vgamem_mb", "logical_block_size", "physical_block_size", "discard_granularity"))
"""Old properties keep their underscore."""


def text(value: str) -> str:
    """A value inside `a=b,c=d`: a comma is written twice (qemu(1), "blank" options)."""
    return value.replace(",", ",,")


def pairs(head: str, **values: str | int | bool | None) -> str:
    """`head,key=value…` with `_` in keys as `-`; None is left out, booleans are on/off."""
    parts = [head]
    for key, value in values.items():
        if value is None:
            continue
        shown = ("on" if value else "off") if isinstance(value, bool) else text(str(value))
        name = key if key in UNDERSCORED else key.replace("_", "-")
        parts.append(f"{name}={shown}")
    return ",".join(parts)


def as_json(value: Mapping[str, object]) -> str:
    """The JSON form that -blockdev and -device take."""
    return json.dumps(value, separators=(",", ":"))
