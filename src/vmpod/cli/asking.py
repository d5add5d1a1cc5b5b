"""One question or one wish to machines that run, without waiting for more than the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from vmpod.base.errors import Problem
from vmpod.cli import machine, session
from vmpod.model.status import ApiError

if TYPE_CHECKING:
    from vmpod.client.simple import Answered, SimpleClient


def tell(verb: str, names: Sequence[str], space: str, *, done: str, instance: bool = True, body: bytes = b"{}") -> None:
    """PUT a subresource of each machine as virtctl does, and say what was `done`. Raises Problem at a refusal."""
    client = session.connect()
    for vm in map(machine.bare, names):
        ask(client, "PUT", vm, space, verb, instance=instance, body=body)
        click.echo(f"{vm}: {done}")


def ask(client: SimpleClient, method: str, vm: str, space: str, verb: str, *, instance: bool = True, body: bytes = b"",
        query: dict[str, str] | None = None) -> Answered:  # fmt: skip
    """The answer of one subresource of a machine. Raises Problem: it does not run, or the engine's own words."""
    try:
        return client.raw(method, machine.path(space, vm, verb, instance=instance), query=query, body=body)
    except ApiError as error:
        raise refused(client, verb, vm, space, error) from None


def refused(client: SimpleClient, verb: str, vm: str, space: str, error: ApiError) -> Problem:
    """What to tell a person about a refusal."""
    if error.code == 404:
        return machine.missing(client, f"{verb} {vm}", space, vm)
    why = error.message.partition('": ')[2] if error.code == 409 else error.message
    return Problem(f"{verb} {vm}", why or error.message, f"kubectl describe vmi {vm} -n {space}", error.reason)


def shown(value: Any, form: str) -> str:
    """A value as JSON or YAML."""
    import json

    from vmpod.model import yaml

    return json.dumps(value, indent=2) if form == "json" else yaml.dump(value).rstrip()
