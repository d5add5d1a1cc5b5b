"""Where two objects differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from vmpod.model import fieldpath
from vmpod.model.meta import clone

_MISSING: Final = object()


def changed_paths(old: Any, new: Any) -> list[str]:
    """The paths of the values that differ, deepest first found: `spec.containers[0].image`.

    A value that exists on one side only is named once, at its top.
    """
    return list(_walk(old, new, ""))


def is_same(old: Any, new: Any) -> bool:
    """Whether two values are equal as JSON; Python's `==` takes 1 for true."""
    return old == new and next(_walk(old, new, ""), None) is None


def _walk(old: Any, new: Any, path: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _walk(old.get(key, _MISSING), new.get(key, _MISSING), join(path, key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _walk(before, after, f"{path}[{index}]")
    elif old != new or isinstance(old, bool) is not isinstance(new, bool):
        yield path


def join(path: str, key: str) -> str:
    """A path one field further: `spec.replicas`, or `metadata.labels[app.io/name]` for a key with dots."""
    if re.fullmatch(r"[\w$-]+", key):
        return f"{path}.{key}" if path else key
    return f"{path}[{key}]"


def equal_ignoring(old: Any, new: Any, *paths: str) -> bool:
    """Whether two objects are equal apart from the values at `paths`, e.g. "status"."""
    return not changed_paths(_without(old, paths), _without(new, paths))


def _without(obj: Any, paths: tuple[str, ...]) -> Any:
    result = clone(obj)
    for path in paths:
        *above, last = fieldpath.parse(path)
        parents = [result]
        for step in above:
            parents = [found for parent in parents for found in fieldpath.below(parent, step)]
        for parent in parents:
            if isinstance(parent, dict):
                parent.pop(last, None)
    return result
