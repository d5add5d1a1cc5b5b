"""`vmpod clone`: another machine like one, with a copy of its disks."""

from __future__ import annotations

import secrets

import click

from vmpod.cli import machine, making


@click.command("clone", short_help="make another virtual machine like one")
@machine.argument()
@click.argument("name", required=False)
@machine.namespace()
@click.option("--snapshot", is_flag=True, help="VM is the name of a snapshot: make the machine as it was then.")
@click.option("--start", is_flag=True, help="Start the new machine.")
@click.option("--timeout", type=float, default=300.0, show_default=True, help="Seconds to wait.")
def command(vm: str, name: str | None, space: str, snapshot: bool, start: bool, timeout: float) -> None:
    """Make a virtual machine called NAME (by default after the first) with a copy of the disks of VM, which may run.

    It takes a second whatever the size of the disks, and no space until one of the machines writes. The new machine
    has network addresses of its own, and is stopped.
    """
    from vmpod.cli import session
    from vmpod.kinds import VIRTUALMACHINE, VIRTUALMACHINECLONE, VIRTUALMACHINESNAPSHOT
    from vmpod.model.meta import get, uid

    vm = machine.bare(vm)
    kind = VIRTUALMACHINESNAPSHOT if snapshot else VIRTUALMACHINE
    spec = {"source": {"apiGroup": kind.group, "kind": kind.kind, "name": vm}}
    if name:
        spec["target"] = {"apiGroup": VIRTUALMACHINE.group, "kind": VIRTUALMACHINE.kind, "name": machine.bare(name)}
    client = session.connect()
    called = f"{vm}-{secrets.token_hex(4)}"
    try:
        done = making.make(VIRTUALMACHINECLONE, called, space, spec, f"clone {vm}", timeout)
    finally:
        if (left := client.find(VIRTUALMACHINECLONE, space, called)) is not None:
            client.delete(VIRTUALMACHINECLONE, space, called, uid=uid(left))
    made = str(get(done, "status", "targetName"))
    if start:
        client.raw("PUT", machine.path(space, made, "start", instance=False), body=b"{}")
    where = "" if space == "default" else f" -n {space}"
    click.echo(f"{made}: made of {vm}" if start else f"{made}: made of {vm}; vmpod start {made}{where}")
