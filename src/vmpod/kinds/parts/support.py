"""Which fields are acted on, as data: what an object says beyond them is named in a warning, never silently dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final


class Mark(Enum):
    """What becomes of a field whatever its value: it is acted on, its object does not start because of it, or its
    object is not even taken (which the kind's rules say)."""

    ACTED = auto()
    BLOCKS = auto()
    REFUSED = auto()


@dataclass(frozen=True)
class Near:
    """It is acted on, but not quite as under KubeVirt; `how` says what is different."""

    how: str


ACTED: Final = Mark.ACTED
BLOCKS: Final = Mark.BLOCKS
REFUSED: Final = Mark.REFUSED
# A mapping goes down a level (for lists: into each entry), a set holds the values that are honoured, a mark ends
# the walk. A field that is not named is not acted on.
Tree = Mapping[str, "Mark | Near | Tree | frozenset[Any]"]
NOT_YET: Final = "not supported yet, ignored"
NOT_AT_ALL: Final = "not supported yet, nothing starts with it"


def unsupported(value: object, tree: Tree, path: str) -> Iterator[str]:
    """Paths of what is said but not acted on, each as a warning."""
    if not isinstance(value, Mapping):
        return
    for key, found in value.items():
        if found is not None:
            yield from _judge(found, tree.get(key), f"{path}.{key}")


def _judge(found: object, known: Mark | Near | Tree | frozenset[Any] | None, path: str) -> Iterator[str]:
    if known in (ACTED, REFUSED) or isinstance(known, Near):
        return
    if known is None or known is BLOCKS:
        # False, 0 and empty lists ask for nothing; an empty mapping often does (`tpm: {}`).
        if found or isinstance(found, dict):
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
