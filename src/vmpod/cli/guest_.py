"""`vmpod guest`: what the agent in a guest tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from vmpod.cli import machine


@click.group("guest", short_help="what the agent in a guest tells")
def command() -> None:
    """What the guest agent (qemu-guest-agent) of a virtual machine tells about it."""


def _output() -> Callable[[Any], Any]:
    forms = click.Choice(["yaml", "json"])
    return click.option("-o", "--output", "form", type=forms, default="yaml", show_default=True)


def _tell(vm: str, space: str, form: str, verb: str) -> None:
    from vmpod.cli import asking, session

    client = session.connect()
    answer = asking.ask(client, "GET", machine.bare(vm), space, verb)
    click.echo(asking.shown(json.loads(answer.body), form))


@command.command("info")
@machine.argument()
@machine.namespace()
@_output()
def info(vm: str, space: str, form: str) -> None:
    """Operating system, host name, time zone, users and file systems."""
    _tell(vm, space, form, "guestosinfo")


@command.command("users")
@machine.argument()
@machine.namespace()
@_output()
def users(vm: str, space: str, form: str) -> None:
    """Who is logged in."""
    _tell(vm, space, form, "userlist")


@command.command("filesystems")
@machine.argument()
@machine.namespace()
@_output()
def filesystems(vm: str, space: str, form: str) -> None:
    """Mounted file systems, with their sizes and disks."""
    _tell(vm, space, form, "filesystemlist")
