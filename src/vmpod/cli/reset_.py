"""`vmpod reset`."""

from __future__ import annotations

import click

from vmpod.cli import machine


@click.command("reset", short_help="reset virtual machines, as a button would")
@machine.argument(nargs=-1, required=True, metavar="VM…")
@machine.namespace()
def command(vm: tuple[str, ...], space: str) -> None:
    """Reset virtual machines at once, as the button on a case does; the guest is not asked."""
    from vmpod.cli import asking

    asking.tell("reset", vm, space, done="reset", body=b"")
