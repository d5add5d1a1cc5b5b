"""Looking into objects that people wrote: whatever has the wrong shape reads as empty, nothing here raises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vmpod.model.meta import Object


def mapping(value: object) -> Object:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def entries(holder: object, key: str) -> list[Object]:
    """The mappings in a list field, at their own indices (anything else in the list reads as empty)."""
    found = mapping(holder).get(key)
    return [mapping(entry) for entry in found] if isinstance(found, list) else []


def dig(holder: object, *keys: str) -> Object:
    """The mapping below a path of fields, empty when any of them is missing."""
    for key in keys:
        holder = mapping(holder).get(key)
    return mapping(holder)


def text(holder: object, key: str) -> str:
    """A field as text, empty when it is absent or no text."""
    found = mapping(holder).get(key)
    return found if isinstance(found, str) else ""


def number(holder: object, key: str) -> int | None:
    """A field as an integer, None when it is absent or no integer."""
    found = mapping(holder).get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def strings(holder: object, key: str) -> dict[str, str]:
    """A field that maps text to text; entries of another type are left out."""
    found = mapping(mapping(holder).get(key))
    return {name: value for name, value in found.items() if isinstance(value, str)}


def section(holder: Object, *keys: str) -> Object:
    """The mapping below a path of fields, made where it is missing; a scratch one where something else stands."""
    for key in keys:
        if holder.get(key) is None:
            holder[key] = {}
        holder = mapping(holder[key])
    return holder


def fill(holder: Object, key: str, value: Any) -> None:
    """Sets a field that is missing, null or an empty text (as Go's zero value reads)."""
    if holder.get(key) in (None, ""):
        holder[key] = value


def fill_count(holder: Object, key: str, value: int) -> None:
    """Sets a number that is missing or zero (fields that are not pointers upstream)."""
    if not holder.get(key):
        holder[key] = value


def set_keys(holder: Object, known: tuple[str, ...]) -> list[str]:
    """Which of the known fields are given, in the order known."""
    return [key for key in known if holder.get(key) is not None]


def indexed(holder: object, key: str, path: str) -> Iterator[tuple[str, Object]]:
    """The mappings in a list field, each with its path as error messages spell it: `spec.volumes[0]`."""
    for index, entry in enumerate(entries(holder, key)):
        yield f"{path}.{key}[{index}]", entry
