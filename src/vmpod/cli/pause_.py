"""`vmpod pause`."""

from __future__ import annotations

import click

from vmpod.cli import machine


@click.command("pause", short_help="freeze the processors of virtual machines")
@machine.argument(nargs=-1, required=True, metavar="VM…")
@machine.namespace()
def command(vm: tuple[str, ...], space: str) -> None:
    """Stop the processors of virtual machines; memory, network and disks stay as they are. `vmpod unpause` goes on."""
    from vmpod.cli import asking

    asking.tell("pause", vm, space, done="paused")
