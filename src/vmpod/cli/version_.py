"""`vmpod version`."""

from __future__ import annotations

import json
from typing import Any

import click


@click.command("version", short_help="the version of vmpod and of what it reports and follows")
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text")
def command(output: str) -> None:
    """The version of this command, the releases that its engine reports to clients, and the engine that runs."""
    seen = versions()
    if output == "json":
        click.echo(json.dumps(seen, indent=2))
    elif output == "yaml":
        from vmpod.model.yaml import dump

        click.echo(dump(seen), nl=False)
    else:
        for what, version in seen.items():
            click.echo(f"{what:<12}{version or 'does not run'}")


def versions() -> dict[str, Any]:
    """What follows which release; `engine` is None when none runs in this home."""
    from vmpod import __version__
    from vmpod.base.paths import Paths
    from vmpod.cli import launch
    from vmpod.controllers.config import ControllerConfig
    from vmpod.kinds.schema import VERSION

    engine = _engine() if launch.running(Paths.of()) else None
    followed = {field: getattr(ControllerConfig, f"{field}_version") for field in ("kubevirt", "cdi")}
    return {"vmpod": __version__, "kubernetes": VERSION, **followed, "engine": engine}


def _engine() -> str | None:
    from vmpod.base.errors import Problem
    from vmpod.cli import session

    try:
        answer = session.connect(start=False).raw("GET", "/version")
    except Problem:
        return None
    return str(json.loads(answer.body).get("gitVersion"))
