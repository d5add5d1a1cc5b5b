"""`vmpod disk`: what the disks of this home take."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from vmpod.node.usage import Use

_SHORT = 12


@click.group("disk", short_help="what the disks of this home take")
def command() -> None:
    """The disks of this home: claims, the layers of snapshots, and the images beneath them."""


@command.command("usage")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def usage(output: str) -> None:
    """Say what takes how much room: on this machine's disk, and as the guests see it."""
    from vmpod.base.paths import Paths
    from vmpod.node import usage as node

    paths = Paths.of()
    found = node.uses(paths)
    names = _claims(paths)
    if output == "json":
        click.echo(json.dumps([asdict(one) | {"claim": names.get(one.name, "")} for one in found], indent=2))
    else:
        click.echo(table(found, names, node.images(paths)))


def _claims(paths: Any) -> dict[str, str]:
    """The claim of each volume, when the engine runs to tell it."""
    from vmpod.cli import launch, session
    from vmpod.kinds import PERSISTENTVOLUME
    from vmpod.model.meta import get, name

    if not launch.running(paths):
        return {}
    found = session.connect().list(PERSISTENTVOLUME).items
    references = {name(one): get(one, "spec", "claimRef", default={}) for one in found}
    return {volume: f"{one.get('namespace')}/{one.get('name')}" for volume, one in references.items()}


def table(found: Sequence[Use], claims: Mapping[str, str], images: Mapping[str, str]) -> str:
    """One line for each, and the sum."""
    rows = [("WHAT", "GUEST SEES", "TAKES", "")]
    rows += [(_title(one, claims), _size(one.guest_bytes) if one.guest_bytes else "", _size(one.disk_bytes),
              _relation(one, images)) for one in found]  # fmt: skip
    rows.append(("total", "", _size(sum(one.disk_bytes for one in found)), ""))
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    return "\n".join(f"{row[0]:<{widths[0]}}   {row[1]:>{widths[1]}}   {row[2]:>{widths[2]}}   {row[3]}".rstrip()
                     for row in rows)  # fmt: skip


def _title(one: Use, claims: Mapping[str, str]) -> str:
    if one.kind == "volume":
        return f"claim {claims[one.name]}" if one.name in claims else f"volume {one.name}"
    if one.kind == "staging":
        return "half-made things"
    return f"{one.kind} {one.name[:_SHORT]}"


def _relation(one: Use, images: Mapping[str, str]) -> str:
    kind, _, id = one.below.rpartition(":")
    told = [f"on {kind or 'base'} {id[:_SHORT]}"] if one.below else []
    if one.kind in ("base", "layer"):
        told.append(f"beneath {one.users} disk{'s' if one.users != 1 else ''}" if one.users else "beneath nothing")
    if one.kind == "base" and one.name in images:
        told.append(f"of the image {images[one.name][:_SHORT]}")
    return ", ".join(told)


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.1f} MiB"
