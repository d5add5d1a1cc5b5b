"""Which fields are acted on, as data: what an object says beyond them is named in a warning, never silently dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from vmpod.model.status import FieldError, not_supported, refused


class Mark(Enum):
    """What becomes of a field whatever its value: it is acted on, or its object does not start because of it."""

    ACTED = auto()
    BLOCKS = auto()


@dataclass(frozen=True)
class Near:
    """It is acted on, but not quite as under KubeVirt; `how` says what is different."""

    how: str


@dataclass(frozen=True)
class Refused:
    """Nothing is stored with it. `why` is empty where a rule of its own refuses it."""

    why: str = ""


@dataclass(frozen=True)
class OneOf:
    """These values are acted on; nothing is stored with another."""

    values: tuple[Any, ...]


ACTED: Final = Mark.ACTED
BLOCKS: Final = Mark.BLOCKS
REFUSED: Final = Refused()
Leaf = Mark | Near | Refused | OneOf | frozenset[Any]
# A mapping goes down a level (for lists: into each entry), a set holds the values that are honoured, a mark ends
# the walk. A field that is not named is not acted on.
Tree = Mapping[str, "Leaf | Tree"]
NOT_YET: Final = "not supported yet, ignored"
NOT_AT_ALL: Final = "not supported yet, nothing starts with it"


def unsupported(value: object, tree: Tree, path: str) -> Iterator[str]:
    """Paths of what is said but not acted on, each as a warning."""
    if not isinstance(value, Mapping):
        return
    for key, found in value.items():
        if found is not None:
            yield from _judge(found, tree.get(key), f"{path}.{key}")


def refusals(value: object, tree: Tree, path: str) -> Iterator[FieldError]:
    """What is said and refused, as faults of a write."""
    if not isinstance(value, Mapping):
        return
    for key, found in value.items():
        known, here = tree.get(key), f"{path}.{key}"
        if isinstance(known, Refused) and known.why and _asks(found):
            yield refused(here, known.why)
        elif isinstance(known, OneOf) and found is not None and found not in ("", *known.values):
            yield not_supported(here, found, [str(one) for one in known.values])
        elif isinstance(known, Mapping):
            entries = enumerate(found) if isinstance(found, list) else ()
            yield from refusals(found, known, here)
            for index, entry in entries:
                yield from refusals(entry, known, f"{here}[{index}]")


def _asks(found: object) -> bool:
    """False, 0 and empty lists ask for nothing; an empty mapping often does (`tpm: {}`)."""
    return bool(found) or isinstance(found, dict)


def _judge(found: object, known: Leaf | Tree | None, path: str) -> Iterator[str]:
    if known is ACTED or isinstance(known, (Near, Refused, OneOf)):
        return
    if known is None or known is BLOCKS:
        if _asks(found):
            yield f"{path}: {NOT_YET if known is None else NOT_AT_ALL}"
    elif isinstance(known, frozenset):
        if isinstance(found, (dict, list)) or found not in known:
            yield f"{path}: {NOT_YET}"
    elif isinstance(known, Mapping):
        yield from _below(found, known, path)


def _below(found: object, tree: Tree, path: str) -> Iterator[str]:
    if isinstance(found, list):
        for index, entry in enumerate(found):
            yield from unsupported(entry, tree, f"{path}[{index}]")
    else:
        yield from unsupported(found, tree, path)
