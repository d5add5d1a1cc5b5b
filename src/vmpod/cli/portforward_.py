"""`vmpod port-forward`: ports of this host that lead to ports of a machine."""

from __future__ import annotations

import re
import socket
import sys
from contextlib import closing
from dataclasses import dataclass

import click

from vmpod.base.errors import Problem
from vmpod.cli import machine

_WRITTEN = re.compile(r"(?:(tcp|udp)/)?(\d+)(?::(\d+))?")


@dataclass(frozen=True)
class Wish:
    """A port of this host (0: any free one) and the machine's that it leads to."""

    protocol: str
    local: int
    remote: int


def read_wish(text: str) -> Wish:
    """`[PROTOCOL/]LOCAL[:REMOTE]`, as virtctl writes it. Raises click.BadParameter."""
    found = _WRITTEN.fullmatch(text)
    local = int(found[2]) if found else -1
    remote = int(found[3]) if found and found[3] else local
    if not (0 <= local < 65536 and 0 < remote < 65536):
        raise click.BadParameter(f"{text!r} is no [tcp/|udp/]LOCAL[:REMOTE] with ports up to 65535")
    return Wish(found[1] or "tcp" if found else "tcp", local, remote)


@click.command("port-forward", short_help="ports of this host that lead to a virtual machine")
@machine.argument()
@click.argument("ports", nargs=-1, required=True, metavar="[tcp/|udp/]LOCAL[:REMOTE]…")
@machine.namespace()
@click.option("--address", default="127.0.0.1", show_default=True, help="The address of this host to listen on.")
@click.option("--stdio", is_flag=True, help="Join standard input and output to one TCP port instead of listening.")
def command(vm: str, ports: tuple[str, ...], space: str, address: str, stdio: bool) -> None:
    """Forward ports of this host to a virtual machine until interrupted. No route and no Service is needed."""
    from vmpod.cli import asking, bridge, forwarding, session
    from vmpod.model.status import ApiError

    vm, wishes = machine.bare(vm), [read_wish(one) for one in ports]
    client = session.connect()
    first = machine.path(space, vm, f"portforward/{wishes[0].remote}/{wishes[0].protocol}")
    if stdio:
        if len(wishes) > 1 or wishes[0].protocol != "tcp":
            raise click.UsageError("--stdio joins one TCP port")
        try:
            stream = bridge.connect(client, first)
        except ApiError as error:
            raise asking.refused(client, "port-forward", vm, space, error) from None
        with closing(stream):
            bridge.copy(stream, sys.stdin.fileno(), sys.stdout.fileno())
        return
    listeners = [(wish, _listen(address, wish)) for wish in wishes]
    for wish, listener in listeners:
        place = machine.path(space, vm, f"portforward/{wish.remote}/{wish.protocol}")
        forwarding.start(client, listener, place, wish.protocol)
        host, port = listener.getsockname()[:2]
        click.echo(f"{wish.protocol} {host}:{port} leads to port {wish.remote} of {vm}")
    forwarding.wait()


def _listen(address: str, wish: Wish) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        if wish.protocol == "tcp":
            return socket.create_server((address, wish.local), family=family)
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.bind((address, wish.local))
        return made
    except OSError as error:
        why = error.strerror or str(error)
        raise Problem(f"listen on {address}:{wish.local}", why, "vmpod port-forward VM 0:PORT", "PortTaken") from None
