"""`vmpod doctor`: what this machine has and lacks, each with the command that mends it."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from vmpod.base.paths import Paths
    from vmpod.drivers.host.checks import Check

_LEAST_FREE_BYTES = 2 << 30


@click.command("doctor", short_help="what this machine has and lacks, and how to mend it")
@click.option("-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table")
def command(output: str) -> None:
    """Look at this machine. Exit code 1 when something is missing that vmpod needs."""
    found = examine()
    if output == "json":
        click.echo(json.dumps(found, indent=2))
    elif output == "yaml":
        from vmpod.model.yaml import dump

        click.echo(dump(found), nl=False)
    else:
        click.echo(table(found))
    if any(one["state"] == "missing" for one in found):
        sys.exit(1)


def examine() -> list[dict[str, Any]]:
    """Every check as `name`, `state` (ok, missing: it is needed, lacking: it would be good), `found`, `fix`."""
    import asyncio

    from vmpod.base.paths import Paths
    from vmpod.drivers.host import checks, facts

    paths = Paths.of()
    found = [*checks.checks(asyncio.run(facts.probe(paths))), *_ours(paths)]
    return [{"name": one.name, "state": state(one), "found": one.found, "fix": one.fix} for one in found]


def _ours(paths: Paths) -> list[Check]:
    """What only people at a command line need, and room for disks."""
    from vmpod.drivers.host.checks import Check

    client = shutil.which("kubectl")
    near = next(place for place in (paths.home, *paths.home.parents) if place.exists())
    free = shutil.disk_usage(near).free
    roomy = free >= _LEAST_FREE_BYTES
    return [
        Check("kubectl", bool(client), client or "not on the PATH (everything but vmpod's own verbs)",
              "" if client else "https://kubernetes.io/docs/tasks/tools/", required=False),
        Check("room for disks", roomy, f"{free / 2**30:.1f} GiB free at {near}",
              "" if roomy else "free some, or VMPOD_HOME=… on a larger file system", required=False),
    ]  # fmt: skip


def state(one: Check) -> str:
    """One word: ok, missing (it is needed) or lacking (all works without, less well)."""
    return "ok" if one.ok else "missing" if one.required else "lacking"


def table(found: list[dict[str, Any]]) -> str:
    """One line for each check, and below it the command that mends what is not well."""
    width = max(len(one["name"]) for one in found)
    lines = []
    for one in found:
        lines.append(f"{one['state']:<8} {one['name']:<{width}}  {one['found']}")
        if one["fix"]:
            lines.append(f"{'':<8} {'':<{width}}  fix: {one['fix']}")
    return "\n".join(lines)
