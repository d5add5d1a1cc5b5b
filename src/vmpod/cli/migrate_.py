"""`vmpod migrate`: move a running machine to another launcher, and wait until it is there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from vmpod.base.errors import Problem
from vmpod.cli import machine

if TYPE_CHECKING:
    from vmpod.client.simple import SimpleClient
    from vmpod.model.meta import Object

_LOOK_EVERY_S = 0.25


@click.command("migrate", short_help="move a running virtual machine to another node")
@machine.argument()
@machine.namespace()
@click.option("--to", "node", help="The node to move to (default: any but its own).")
@click.option("--cancel", is_flag=True, help="Call the move off that is under way; the machine stays where it is.")
@click.option("--wait/--no-wait", default=True, help="Wait until the machine has moved.")
@click.option("--timeout", type=float, default=300.0, show_default=True, help="Seconds to wait.")
def command(vm: str, space: str, node: str | None, cancel: bool, wait: bool, timeout: float) -> None:
    """Move a running virtual machine to another node: its guest, its address and its open connections go along.

    With one node it gets a new launcher there.
    """
    from vmpod.cli import session

    client, vm = session.connect(), machine.bare(vm)
    if cancel:
        _cancel(client, vm, space)
        click.echo(f"{vm}: the migration is called off")
        return
    made = _begin(client, vm, space, node)
    if wait:
        click.echo(f"{vm}: {_end(client, vm, space, made, timeout)}")
    else:
        click.echo(f"{vm}: moves, kubectl get vmim {made} -n {space}")


def _begin(client: SimpleClient, vm: str, space: str, node: str | None) -> str:
    from vmpod.kinds import VIRTUALMACHINEINSTANCE, VIRTUALMACHINEINSTANCEMIGRATION
    from vmpod.model.meta import name
    from vmpod.model.status import ApiError

    if client.find(VIRTUALMACHINEINSTANCE, space, vm) is None:
        raise machine.missing(client, f"migrate {vm}", space, vm)
    kind = VIRTUALMACHINEINSTANCEMIGRATION
    chosen = {"addedNodeSelector": {"kubernetes.io/hostname": node}} if node else {}
    wish = {"apiVersion": kind.api_version, "kind": kind.kind, "spec": {"vmiName": vm, **chosen},
            "metadata": {"generateName": f"{vm}-", "namespace": space}}  # fmt: skip
    try:
        return name(client.create(kind, wish))
    except ApiError as error:
        why = error.message.rpartition("denied the request: ")[2]
        raise Problem(f"migrate {vm}", why, f"kubectl describe vmi {vm} -n {space}", error.reason) from None


def _cancel(client: SimpleClient, vm: str, space: str) -> None:
    from vmpod.kinds import VIRTUALMACHINEINSTANCEMIGRATION
    from vmpod.kinds.parts.migration import FINAL, MACHINE
    from vmpod.model.meta import get, name

    found = client.list(VIRTUALMACHINEINSTANCEMIGRATION, space, labels=f"{MACHINE}={vm}").items
    moving = [one for one in found if get(one, "status", "phase") not in FINAL]
    if not moving:
        raise Problem(f"call off the migration of {vm}", "it does not move", f"kubectl get vmim -n {space}", "NotFound")
    for one in moving:
        client.delete(VIRTUALMACHINEINSTANCEMIGRATION, space, name(one))


def _end(client: SimpleClient, vm: str, space: str, migration: str, timeout_s: float) -> str:
    from vmpod.cli.progress import Progress
    from vmpod.kinds import VIRTUALMACHINEINSTANCEMIGRATION

    deadline = time.monotonic() + timeout_s
    with Progress() as progress:
        while True:
            found = client.find(VIRTUALMACHINEINSTANCEMIGRATION, space, migration)
            moved, words = standing(found)
            if moved is True:
                return words
            late = time.monotonic() > deadline
            if moved is False or late:
                why = f"it has not moved after {timeout_s:g} s: {words}" if late else words
                fix = f"kubectl describe vmim {migration} -n {space}"
                raise Problem(f"migrate {vm}", why, fix, "Timeout" if late else "Failed")
            progress.show({vm: words})
            time.sleep(_LOOK_EVERY_S)


def standing(migration: Object | None) -> tuple[bool | None, str]:
    """Whether the machine has moved (None: not yet), and words for it. Pure."""
    from vmpod.kinds.parts.migration import DOWNTIME, WAITING
    from vmpod.model import conditions
    from vmpod.model.meta import get

    if migration is None:
        return False, "the migration was deleted; the machine stays where it is"
    status = migration.get("status") or {}
    state, told = status.get("migrationState") or {}, status.get("conditions")
    match status.get("phase"):
        case "Succeeded":
            took = (conditions.find(told, DOWNTIME) or {}).get("message", "")
            way = f"moved from {state.get('sourceNode')} to {state.get('targetNode')}"
            return True, f"{way}; {took}" if took else way
        case "Failed":
            return False, str(state.get("failureReason") or "it did not begin; the machine stays where it is")
        case phase:
            why = (conditions.find(told, WAITING) or {}).get("message", "")
            return None, why or str(get(migration, "status", "phase") or phase or "Pending")
