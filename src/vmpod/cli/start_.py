"""`vmpod start`."""

from __future__ import annotations

import click

from vmpod.cli import machine


@click.command("start", short_help="start virtual machines")
@machine.argument(nargs=-1, required=True, metavar="VM…")
@machine.namespace()
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until it is done.")
@click.option("--timeout", type=float, default=300.0, show_default=True, help="Seconds to wait.")
def command(vm: tuple[str, ...], space: str, wait: bool, timeout: float) -> None:
    """Start virtual machines and wait until they are ready. One that runs already is left alone."""
    from vmpod.cli import lifecycle

    body: dict[str, int] = {}
    lifecycle.tell("start", vm, space, body, lifecycle.has_started, wait=wait, timeout_s=timeout,
                   harmless=("already running",))  # fmt: skip
