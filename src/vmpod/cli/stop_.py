"""`vmpod stop`."""

from __future__ import annotations

import click

from vmpod.cli import machine


@click.command("stop", short_help="stop virtual machines")
@machine.argument(nargs=-1, required=True, metavar="VM…")
@machine.namespace()
@click.option("--force", is_flag=True, help="Do not give the guest time to shut down.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until it is done.")
@click.option("--timeout", type=float, default=300.0, show_default=True, help="Seconds to wait.")
def command(vm: tuple[str, ...], space: str, force: bool, wait: bool, timeout: float) -> None:
    """Shut virtual machines down and wait until they are. One that is stopped already is left alone."""
    from vmpod.cli import lifecycle

    body = {"gracePeriod": 0} if force else {}
    lifecycle.tell("stop", vm, space, body, lifecycle.has_stopped, wait=wait, timeout_s=timeout,
                   harmless=("VM is not running",))  # fmt: skip
