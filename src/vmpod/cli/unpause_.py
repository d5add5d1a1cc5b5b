"""`vmpod unpause`."""

from __future__ import annotations

import click

from vmpod.cli import machine


@click.command("unpause", short_help="let paused virtual machines go on")
@machine.argument(nargs=-1, required=True, metavar="VM…")
@machine.namespace()
def command(vm: tuple[str, ...], space: str) -> None:
    """Let the processors of paused virtual machines go on."""
    from vmpod.cli import asking

    asking.tell("unpause", vm, space, done="goes on")
