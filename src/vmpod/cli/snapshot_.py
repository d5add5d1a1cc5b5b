"""`vmpod snapshot`: keep a machine as it is now, and go back to it."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from vmpod.base.errors import Problem
from vmpod.cli import machine

if TYPE_CHECKING:
    from vmpod.client.simple import SimpleClient
    from vmpod.kinds.kind import Kind
    from vmpod.model.meta import Object

_LOOK_EVERY_S = 0.25


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
    _make(VIRTUALMACHINESNAPSHOT, name, space, {"source": _reference(vm)}, what, timeout, marks)
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
    _make(VIRTUALMACHINERESTORE, called, space, spec, f"restore {vm}", timeout)
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


def _make(kind: Kind, name: str, space: str, spec: Object, what: str, timeout_s: float,
          marks: dict[str, str] | None = None) -> None:  # fmt: skip
    """Create an object and wait until it is Ready. Raises Problem: refused, failed, or not done in time."""
    from vmpod.cli import session
    from vmpod.model.status import ApiError

    client = session.connect()
    meta: Object = {"name": name, "namespace": space} | ({"annotations": marks} if marks else {})
    try:
        client.create(kind, {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, "spec": spec})
    except ApiError as error:
        raise Problem(what, error.message, "vmpod status", error.reason) from None
    _wait(client, kind, name, space, what, timeout_s)


def _wait(client: SimpleClient, kind: Kind, name: str, space: str, what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        done, why = standing(client.get(kind, space, name))
        if done:
            return
        if done is False or time.monotonic() > deadline:
            fix = f"kubectl describe {kind.singular_name} {name} -n {space}"
            raise Problem(what, why or f"not done after {timeout_s:g} s", fix, "Timeout" if done is None else "Failed")
        time.sleep(_LOOK_EVERY_S)


def standing(obj: Object) -> tuple[bool | None, str]:
    """Whether a snapshot or restore is done (None: not yet, False: it has failed), and what its conditions say."""
    from vmpod.model import conditions
    from vmpod.model.meta import get

    held = get(obj, "status", "conditions", default=[])
    told = [one for kind in ("Failure", "Progressing", "Ready") if (one := conditions.find(held, kind))]
    why = str(told[0].get("message") or told[0].get("reason") or "") if told else ""
    if conditions.is_true(held, "Ready"):
        return True, ""
    failed = get(obj, "status", "phase") == "Failed" or conditions.is_true(held, "Failure")
    return (False if failed else None), why
