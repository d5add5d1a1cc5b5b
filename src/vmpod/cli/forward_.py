"""`vmpod _forward`: standard input and output joined to a port of a machine; what ssh uses as its ProxyCommand."""

from __future__ import annotations

import sys

import click

from vmpod.cli import machine


@click.command("_forward", hidden=True)
@machine.argument()
@click.argument("port", type=click.IntRange(1, 65535))
@machine.namespace()
@click.option("--timeout", type=float, default=60.0, help="Seconds to wait for the machine to run.")
def command(vm: str, port: int, space: str, timeout: float) -> None:
    """Join standard input and output to a TCP port of a virtual machine."""
    from vmpod.cli import bridge, session
    from vmpod.model.status import ApiError

    client = session.connect(start=False)
    try:
        stream = bridge.connect_when_running(client, machine.path(space, vm, f"portforward/{port}/tcp"), timeout)
    except ApiError as error:
        if error.code == 404:
            raise machine.missing(client, f"reach port {port} of {vm}", space, vm) from None
        raise
    try:
        bridge.copy(stream, sys.stdin.fileno(), sys.stdout.fileno())
    except (BrokenPipeError, ConnectionResetError):
        return
    finally:
        stream.close()
