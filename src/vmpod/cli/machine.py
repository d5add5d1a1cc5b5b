"""What the verbs for one virtual machine share: how it is named, and what to say when it does not run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from vmpod.base.errors import Problem

if TYPE_CHECKING:
    from vmpod.client.simple import SimpleClient

SUBRESOURCES = "/apis/subresources.kubevirt.io/v1/namespaces"


def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of virtual machines for the shell; none unless the engine runs already."""
    from vmpod.base.paths import Paths
    from vmpod.cli import launch, session
    from vmpod.kinds import VIRTUALMACHINE
    from vmpod.model.meta import name

    if launch.running(Paths.of()) is None:
        return []
    try:
        found = session.connect(start=False).list(VIRTUALMACHINE, str(ctx.params.get("space") or "default")).items
    except Problem:
        return []
    return [name(one) for one in found if name(one).startswith(incomplete)]


def argument(**more: Any) -> Callable[[Any], Any]:
    """The argument VM."""
    return click.argument("vm", metavar=more.pop("metavar", "VM"), shell_complete=complete, **more)


def namespace() -> Callable[[Any], Any]:
    """The option -n."""
    return click.option("-n", "--namespace", "space", default="default", show_default=True, is_eager=True,
                        help="Where the virtual machine is.")  # fmt: skip


def bare(vm: str) -> str:
    """The name in `NAME`, `vm/NAME` or `vmi/NAME`, as virtctl takes them too."""
    kind, slash, rest = vm.partition("/")
    return rest if slash and kind in ("vm", "vms", "vmi", "virtualmachine", "virtualmachineinstance") else vm


def path(space: str, vm: str, verb: str, *, instance: bool = True) -> str:
    """The path of a subresource of a machine, or (not `instance`) of the VirtualMachine."""
    plural = "virtualmachineinstances" if instance else "virtualmachines"
    return f"{SUBRESOURCES}/{space}/{plural}/{vm}/{verb}"


def missing(client: SimpleClient, what: str, space: str, vm: str) -> Problem:
    """Why a machine has no running instance: it is stopped, or there is none of that name."""
    from vmpod.kinds import VIRTUALMACHINE
    from vmpod.model.meta import get

    found = client.find(VIRTUALMACHINE, space, vm)
    where = "" if space == "default" else f" -n {space}"
    if found is None:
        why = f"there is no virtual machine {vm!r} in the namespace {space!r}"
        return Problem(what, why, "vmpod status", "NotFound")
    shown = get(found, "status", "printableStatus") or "Stopped"
    return Problem(what, f"the machine {vm} does not run ({shown})", f"vmpod start {vm}{where}", "NotRunning")
