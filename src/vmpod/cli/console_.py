"""`vmpod console`: the serial console of a machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from vmpod.cli import machine

ESCAPE = b"\x1d"  # Ctrl-], as virtctl


@click.command("console", short_help="the serial console of a virtual machine")
@machine.argument()
@machine.namespace()
@click.option("--timeout", type=float, default=300.0, show_default=True, help="Seconds to wait for it to run.")
def command(vm: str, space: str, timeout: float) -> None:
    """Connect to the serial console of a virtual machine; Ctrl-] ends it. Without a terminal, standard input is
    sent to its end and what the machine answers is printed."""
    from vmpod.cli import bridge, session
    from vmpod.model.status import ApiError

    vm = machine.bare(vm)
    client = session.connect()
    try:
        stream = bridge.connect_when_running(client, machine.path(space, vm, "console"), timeout)
    except ApiError as error:
        raise machine.missing(client, f"open the console of {vm}", space, vm) if error.code == 404 else error from None
    try:
        with raw_terminal(sys.stdin.fileno()) as is_terminal:
            click.echo(f"connected to {vm}; Ctrl-] ends the connection\r", err=True)
            ended = bridge.copy(stream, sys.stdin.fileno(), sys.stdout.fileno(), escape=ESCAPE if is_terminal else b"")
    finally:
        stream.close()
    if ended:
        click.echo(f"\r\nthe machine {vm} ended the connection", err=True)


@contextmanager
def raw_terminal(number: int) -> Iterator[bool]:
    """Hand every key to the machine while inside; whether there is a terminal at all."""
    if not os.isatty(number):
        yield False
        return
    import termios
    import tty

    before = termios.tcgetattr(number)
    try:
        tty.setraw(number, termios.TCSADRAIN)  # what was typed meanwhile is kept
        yield True
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
