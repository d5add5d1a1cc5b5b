"""`vmpod snapshot`: keep a machine as it is now, and go back to it."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from vmpod.base.errors import Problem
from vmpod.cli import machine, making

if TYPE_CHECKING:
    from vmpod.model.meta import Object


@click.group("snapshot", short_help="keep a virtual machine as it is, and go back to it")
def command() -> None:
    """Keep a virtual machine and its disks as they are now, and go back to that."""


@command.command("save")
@machine.argument()
@click.argument("name", required=False)
@machine.namespace()
@click.option("--memory", is_flag=True, help="Also what the guest has in memory: it goes on there after a restore.")
@click.option("--timeout", type=float, default=300.0, show_default=True, help="Seconds to wait.")
def save(vm: str, name: str | None, space: str, memory: bool, timeout: float) -> None:
    """Take a snapshot, called NAME (by default the machine's name and the time). The machine may run."""
    from vmpod.kinds import VIRTUALMACHINESNAPSHOT
    from vmpod.kinds.parts import snapshot_memory

    vm = machine.bare(vm)
    name = name or f"{vm}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    marks = {snapshot_memory.WANTED: "true"} if memory else {}
    what = f"take a snapshot of {vm}"
    making.make(VIRTUALMACHINESNAPSHOT, name, space, {"source": _reference(vm)}, what, timeout, marks)
    click.echo(name)


@command.command("restore")
@machine.argument()
@click.argument("name")
@machine.namespace()
@click.option("--stop", is_flag=True, help="Stop the machine first if it runs.")
@click.option("--start", is_flag=True, help="Start it afterwards, and wait until it is ready.")
@click.option("--timeout", type=float, default=300.0, show_default=True, help="Seconds to wait.")
def restore(vm: str, name: str, space: str, stop: bool, start: bool, timeout: float) -> None:
    """Bring a stopped virtual machine back to the snapshot NAME; with another VM's name, make that machine of it."""
    from vmpod.kinds import VIRTUALMACHINERESTORE

    vm = machine.bare(vm)
    policy = "StopTarget" if stop else "FailImmediate"
    spec = {"target": _reference(vm), "virtualMachineSnapshotName": name, "targetReadinessPolicy": policy}
    called = f"{vm}-{secrets.token_hex(4)}"
    making.make(VIRTUALMACHINERESTORE, called, space, spec, f"restore {vm}", timeout)
    if not start:
        click.echo(f"{vm}: is as in {name}; vmpod start {vm}")
        return
    from vmpod.cli import lifecycle

    click.echo(f"{vm}: is as in {name}")
    lifecycle.tell("start", (vm,), space, {}, lifecycle.has_started, wait=True, timeout_s=timeout)


@command.command("list")
@machine.namespace()
def show(space: str) -> None:
    """List the snapshots of a namespace, the oldest first."""
    from vmpod.cli import session
    from vmpod.kinds import VIRTUALMACHINESNAPSHOT
    from vmpod.kinds.parts.snapshot_memory import is_wanted
    from vmpod.model.meta import get
    from vmpod.model.meta import name as name_of

    found = session.connect().list(VIRTUALMACHINESNAPSHOT, space).items
    for one in sorted(found, key=lambda one: str(get(one, "metadata", "creationTimestamp"))):
        status = one.get("status") or {}
        words = [name_of(one), get(one, "spec", "source", "name"), status.get("phase", "Pending")]
        words += ["with memory"] if is_wanted(one) else []
        click.echo("  ".join(str(word) for word in (*words, status.get("creationTime")) if word))


@command.command("delete")
@click.argument("name")
@machine.namespace()
def delete(name: str, space: str) -> None:
    """Delete a snapshot; disks that were restored from it keep their data."""
    from vmpod.cli import session
    from vmpod.kinds import VIRTUALMACHINESNAPSHOT
    from vmpod.model.meta import uid

    client = session.connect()
    found = client.find(VIRTUALMACHINESNAPSHOT, space, name)
    if found is None:
        why = f"there is no snapshot {name!r} in the namespace {space!r}"
        raise Problem(f"delete the snapshot {name}", why, f"vmpod snapshot list -n {space}", "NotFound")
    client.delete(VIRTUALMACHINESNAPSHOT, space, name, uid=uid(found))
    click.echo(f"{name}: deleted")


def _reference(vm: str) -> Object:
    return {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": vm}
