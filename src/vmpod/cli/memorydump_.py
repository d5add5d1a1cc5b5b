"""`vmpod memory-dump`: the memory of a running machine, in a claim."""

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


@click.command("memory-dump", short_help="the memory of a running virtual machine, in a claim")
@machine.argument()
@click.argument("claim")
@machine.namespace()
@click.option("--create-claim", is_flag=True, help="Make the claim, large enough, if there is none.")
@click.option("--timeout", type=float, default=300.0, show_default=True, help="Seconds to wait.")
def command(vm: str, claim: str, space: str, create_claim: bool, timeout: float) -> None:
    """Write the memory of a running virtual machine into CLAIM, as an ELF core file. The guest stands still meanwhile.

    `vmpod export pvc CLAIM -o dump.tar.gz` takes it out.
    """
    from vmpod.cli import session
    from vmpod.model.meta import get
    from vmpod.model.status import ApiError

    vm, client, what = machine.bare(vm), session.connect(), f"dump the memory of {vm}"
    if create_claim:
        _make_claim(client, vm, claim, space, what)
    try:
        path = machine.path(space, vm, "memorydump", instance=False)
        client.raw("PUT", path, body=f'{{"claimName":"{claim}","phase":""}}'.encode())
    except ApiError as error:
        raise Problem(what, error.message, f"vmpod start {vm}, or --create-claim", error.reason) from None
    done = _ended(client, vm, space, what, timeout)
    if done.get("phase") != "Completed":
        raise Problem(what, str(done.get("message") or "it failed"), f"kubectl describe vm {vm} -n {space}", "Failed")
    click.echo(f"{claim}: {get(done, 'fileName')}")


def _make_claim(client: SimpleClient, vm: str, claim: str, space: str, what: str) -> None:
    from vmpod.kinds import PERSISTENTVOLUMECLAIM, VIRTUALMACHINEINSTANCE
    from vmpod.kinds.parts.memorydump import expected_bytes
    from vmpod.model import quantity

    if client.find(PERSISTENTVOLUMECLAIM, space, claim) is not None:
        return
    vmi = client.find(VIRTUALMACHINEINSTANCE, space, vm)
    if vmi is None:
        raise machine.missing(client, what, space, vm)
    size = quantity.format_bytes(expected_bytes(vmi))
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    client.create(PERSISTENTVOLUMECLAIM, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": spec,
                                          "metadata": {"name": claim, "namespace": space}})  # fmt: skip


def _ended(client: SimpleClient, vm: str, space: str, what: str, timeout_s: float) -> Object:
    from vmpod.kinds import VIRTUALMACHINE
    from vmpod.model.meta import get

    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = dict(get(client.get(VIRTUALMACHINE, space, vm), "status", "memoryDumpRequest", default={}))
        if found.get("phase") in ("Completed", "Failed"):
            return found
        time.sleep(_LOOK_EVERY_S)
    raise Problem(what, f"not done after {timeout_s:g} s", f"kubectl describe vm {vm} -n {space}", "Timeout")
