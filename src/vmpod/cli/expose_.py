"""`vmpod expose`: a Service in front of a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vmpod.base.errors import Problem
from vmpod.cli import machine

if TYPE_CHECKING:
    from vmpod.model.meta import Object

_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")


@click.command("expose", short_help="a Service in front of a virtual machine")
@machine.argument()
@machine.namespace()
@click.option("--name", "service", default="", help="The name of the Service; the machine's by default.")
@click.option("--port", type=click.IntRange(1, 65535), help="Its port; by default those the machine declares.")
@click.option("--target-port", default="", help="The machine's port, a number or a name; as --port by default.")
@click.option("--port-name", default="", help="What the port is called.")
@click.option("--protocol", type=click.Choice(["TCP", "UDP"], case_sensitive=False), default="TCP", show_default=True)
@click.option("--type", "kind", type=click.Choice(_TYPES), default="ClusterIP", show_default=True)
@click.option("--node-port", type=click.IntRange(1, 65535), help="The port of the node, with --type NodePort.")
def command(vm: str, space: str, service: str, port: int | None, target_port: str, port_name: str, protocol: str,
            kind: str, node_port: int | None) -> None:  # fmt: skip
    """Make a Service that leads to a virtual machine. It goes when the virtual machine goes, as with virtctl."""
    from vmpod.cli import session
    from vmpod.kinds import SERVICE, VIRTUALMACHINE
    from vmpod.model.status import ApiError

    vm = machine.bare(vm)
    client = session.connect()
    found = client.find(VIRTUALMACHINE, space, vm)
    if found is None:
        raise machine.missing(client, f"expose {vm}", space, vm)
    first = {"port": port, "name": port_name, "protocol": protocol.upper(), "targetPort": _number(target_port),
             "nodePort": node_port}  # fmt: skip
    made = service_for(found, service or vm, kind, {key: value for key, value in first.items() if value})
    try:
        client.create(SERVICE, made)
    except ApiError as error:
        fix = f"vmpod expose {vm} --name OTHER" if error.reason == "AlreadyExists" else f"vmpod expose {vm} --help"
        raise Problem(f"expose {vm}", error.message, fix, error.reason) from None
    click.echo(f"Service {service or vm} leads to {vm}")


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def service_for(vm: Object, service: str, kind: str, port: Object) -> Object:
    """The Service that virtctl would make: it selects the machine by name, and the machine owns it.

    Without a `port` those that the machine's first card declares are taken. Raises Problem when there are none.
    """
    from vmpod.model.meta import get, name, namespace, uid

    cards = get(vm, "spec", "template", "spec", "domain", "devices", "interfaces", default=())
    declared = [dict(one) for card in cards for one in card.get("ports") or ()]
    ports = [port] if "port" in port else declared
    if not ports:
        why = "the machine declares no ports, so one has to be named"
        raise Problem(f"expose {name(vm)}", why, f"vmpod expose {name(vm)} --port PORT", "NoPort")
    owner = {"apiVersion": vm["apiVersion"], "kind": vm["kind"], "name": name(vm), "uid": uid(vm)}
    return {
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": service, "namespace": namespace(vm), "ownerReferences": [owner]},
        "spec": {"type": kind, "selector": {"vmi.kubevirt.io/id": name(vm)}, "ports": ports},
    }
