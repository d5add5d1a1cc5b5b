"""The logical volumes of LVM2, from the text that it keeps at the head of each physical volume (lvm2: format_text)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from vmpod.drivers.inspection.blocks import Blocks, Joined, Slice

_SECTOR = 512
_LABEL = b"LABELONE"
_MOST_TEXT = 1 << 20
_TOKEN = re.compile(r'\s*(?:#[^\n]*\n\s*)*("(?:\\.|[^"\\])*"|[A-Za-z0-9_.+\-]+|[{}\[\]=,])')
_DEEPEST = 12


def is_member(part: Blocks) -> bool:
    """Whether a physical volume's label stands in one of the first four sectors."""
    return _label(part) >= 0


def _label(part: Blocks) -> int:
    for sector in range(4):
        raw = part.read(sector * _SECTOR, 32)
        if raw.startswith(_LABEL) and raw[24:32] == b"LVM2 001":
            return sector * _SECTOR
    return -1


def volumes(members: list[Blocks]) -> Iterator[tuple[str, Blocks]]:
    """Each linear logical volume as `group/name` and its bytes; striped, mirrored and thin ones are left out."""
    known = {uuid: part for part in members if (uuid := _uuid(part))}
    done = set[str]()
    for part in known.values():
        for group, body in _parsed(_text(part)).items():
            if isinstance(body, dict) and group not in done and "logical_volumes" in body:
                done.add(group)
                yield from _group(group, body, known)


def _uuid(part: Blocks) -> str:
    at = _label(part)
    if at < 0:
        return ""
    offset = struct.unpack("<I", part.read(at + 20, 4))[0]
    return part.read(at + offset, 32).decode("ascii", errors="replace")


def _text(part: Blocks) -> str:
    """The newest metadata text of a physical volume; empty when it has none."""
    at = _label(part)
    offset = struct.unpack("<I", part.read(at + 20, 4))[0]
    areas = part.read(at + offset + 40, _SECTOR)
    pairs = [struct.unpack("<QQ", areas[index : index + 16]) for index in range(0, len(areas) - 15, 16)]
    ends = [index for index, pair in enumerate(pairs) if pair == (0, 0)]
    if len(ends) < 2:
        return ""
    for start, size in pairs[ends[0] + 1 : ends[1]]:
        if text := _area(part, start, size):
            return text
    return ""


def _area(part: Blocks, start: int, size: int) -> str:
    """The text in a ring of `size` bytes whose header is its first sector."""
    header = part.read(start, _SECTOR)
    if header[4:20] != b" LVM2 x[5A%r0N*>" or len(header) < 64:
        return ""
    offset, length = struct.unpack("<QQ", header[40:56])
    if not length or length > _MOST_TEXT or offset > size:
        return ""
    found = part.read(start + offset, min(length, size - offset))
    found += part.read(start + _SECTOR, length - len(found))
    return found.rstrip(b"\0").decode(errors="replace")


def _parsed(text: str) -> dict[str, Any]:
    tokens = [match[1] for match in _TOKEN.finditer(text)]
    found, _ = _section(tokens, 0, 0)
    return found


def _section(tokens: list[str], at: int, depth: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while at < len(tokens) and tokens[at] != "}":
        name, mark = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
        if mark == "{" and depth < _DEEPEST:
            found[name], at = _section(tokens, at + 2, depth + 1)
        elif mark == "=":
            found[name], at = _value(tokens, at + 2)
        else:
            at += 1
    return found, at + 1


def _value(tokens: list[str], at: int) -> tuple[Any, int]:
    if at < len(tokens) and tokens[at] == "[":
        end = tokens.index("]", at) if "]" in tokens[at:] else len(tokens)
        return [token.strip('"') for token in tokens[at + 1 : end] if token != ","], end + 1
    return (tokens[at].strip('"') if at < len(tokens) else ""), at + 1


def _group(group: str, body: Mapping[str, Any], known: Mapping[str, Blocks]) -> Iterator[tuple[str, Blocks]]:
    extent = _number(body.get("extent_size")) * _SECTOR
    places = {}
    for name, one in _sections(body.get("physical_volumes")):
        part = known.get(str(one.get("id", "")).replace("-", ""))
        if part is not None:
            places[name] = (part, _number(one.get("pe_start")) * _SECTOR)
    for name, one in _sections(body.get("logical_volumes")):
        if pieces := _pieces(one, places, extent):
            yield f"{group}/{name}", Joined(pieces)


def _sections(found: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(found, dict):
        yield from ((name, one) for name, one in found.items() if isinstance(one, dict))


def _pieces(volume: dict[str, Any], places: Mapping[str, tuple[Blocks, int]], extent: int) -> list[Slice]:
    """The pieces of a volume in order; none when a segment is not linear or lies on a disk that is not here."""
    found = []
    segments = [one for name, one in _sections(volume) if name.startswith("segment")]
    for one in sorted(segments, key=lambda one: _number(one.get("start_extent"))):
        stripes = one.get("stripes")
        if one.get("type") != "striped" or not isinstance(stripes, list) or len(stripes) != 2:
            return []
        part, start = places.get(stripes[0], (None, 0))
        if part is None:
            return []
        found.append(Slice(part, start + _number(stripes[1]) * extent, _number(one.get("extent_count")) * extent))
    return found


def _number(text: Any) -> int:
    return int(text) if isinstance(text, str) and text.isdigit() and len(text) < 19 else 0
