"""Paths into objects: the part of JSONPath that printer columns, fieldRef and field selectors use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

_FILTER: Final = re.compile(
    r"""@\.(?P<field>[\w.-]+)\s*==\s*(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<bare>\w+))"""
)
_STEP: Final = re.compile(
    r"""\.?(?P<name>[A-Za-z_$](?:[\w$/-]|\\\.)*)      # name, with dots escaped: kubernetes\.io/os
      | \[(?P<index>-?\d+)\]
      | \['(?P<single>(?:[^'\\]|\\.)*)'\] | \["(?P<double>(?:[^"\\]|\\.)*)"\]
      | \[\?\((?P<filter>[^)]*)\)\]
      | (?P<all>\[\*\]|\.\*)""",
    re.VERBOSE,
)
Step = str | int | tuple[str, str] | None  # name, index, (field, value) of a filter, or None for every item


@lru_cache(maxsize=512)
def parse(path: str) -> tuple[Step, ...]:
    """The steps of a path. Raises ValueError for wrong syntax."""
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    steps: list[Step] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise ValueError(f"cannot read the path {path!r} at {text[at:]!r}")
        steps.append(_step(found))
        at = found.end()
    return tuple(steps)


def _step(found: re.Match[str]) -> Step:
    if found["name"] is not None:
        return found["name"].replace("\\.", ".")
    if found["index"] is not None:
        return int(found["index"])
    if found["filter"] is not None:
        wish = _FILTER.fullmatch(found["filter"].strip())
        if wish is None:
            raise ValueError(f"cannot read the filter {found['filter']!r}")
        return wish["field"], wish["single"] or wish["double"] or wish["bare"] or ""
    if found["all"] is not None:
        return None
    quoted = found["single"] if found["single"] is not None else found["double"]
    return re.sub(r"\\(.)", r"\1", quoted)


def find_all(obj: Any, path: str) -> list[Any]:
    """Every value that a path leads to; empty when there is none. Raises ValueError for wrong syntax."""
    values = [obj]
    for step in parse(path):
        values = [found for value in values for found in below(value, step)]
    return values


def below(value: Any, step: Step) -> list[Any]:
    """The values one step below another."""
    if isinstance(step, str):
        return [value[step]] if isinstance(value, Mapping) and step in value else []
    if step is None:
        values = value.values() if isinstance(value, Mapping) else value
        return list(values) if isinstance(value, (Mapping, list)) else []
    if not isinstance(value, list):
        return []
    if isinstance(step, int):
        return [value[step]] if -len(value) <= step < len(value) else []
    field, wanted = step
    return [item for item in value if _spell(lookup(item, field)) == wanted]


def _spell(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def lookup(obj: Any, path: str, default: Any = None) -> Any:
    """The first value that a path leads to, else `default`. Raises ValueError for wrong syntax."""
    values = find_all(obj, path)
    return values[0] if values else default
