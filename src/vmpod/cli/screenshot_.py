"""`vmpod screenshot`: a picture of a machine's screen."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vmpod.base.errors import Problem
from vmpod.cli import machine


@click.command("screenshot", short_help="a picture of the screen of a virtual machine")
@machine.argument()
@machine.namespace()
@click.option("-f", "--file", "target", default="", help="The PNG to write (- is standard output); VM.png by default.")
def command(vm: str, space: str, target: str) -> None:
    """Write the screen of a virtual machine as it is now to a PNG file."""
    from vmpod.cli import asking, session

    vm = machine.bare(vm)
    answer = asking.ask(session.connect(), "GET", vm, space, "vnc/screenshot", query={"moveCursor": "false"})
    if target == "-":
        sys.stdout.buffer.write(answer.body)
        return
    path = Path(target or f"{vm}.png")
    try:
        path.write_bytes(answer.body)
    except OSError as error:
        raise Problem(f"write {path}", error.strerror or str(error), "vmpod screenshot -f FILE", "Unwritable") from None
    click.echo(str(path))
