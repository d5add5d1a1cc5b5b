"""`vmpod restart`."""

from __future__ import annotations

import click

from vmpod.cli import machine


@click.command("restart", short_help="restart virtual machines")
@machine.argument(nargs=-1, required=True, metavar="VM…")
@machine.namespace()
@click.option("--force", is_flag=True, help="Do not give the guest time to shut down.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until it is done.")
@click.option("--timeout", type=float, default=300.0, show_default=True, help="Seconds to wait.")
def command(vm: tuple[str, ...], space: str, force: bool, wait: bool, timeout: float) -> None:
    """Shut virtual machines down, start them again and wait until they are ready."""
    from vmpod.cli import lifecycle

    body = {"gracePeriodSeconds": 0} if force else {}
    lifecycle.tell("restart", vm, space, body, lifecycle.has_restarted, wait=wait, timeout_s=timeout)
