"""`vmpod soft-reboot`."""

from __future__ import annotations

import click

from vmpod.cli import machine


@click.command("soft-reboot", short_help="ask the guest to reboot")
@machine.argument(nargs=-1, required=True, metavar="VM…")
@machine.namespace()
def command(vm: tuple[str, ...], space: str) -> None:
    """Ask the guest to reboot: by its agent, else by its power button. The instance stays the same."""
    from vmpod.cli import asking

    asking.tell("softreboot", vm, space, done="reboot requested", body=b"")
