"""`vmpod ssh`: the ssh of this host, through the engine to a machine. No address and no route is needed."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.cli import machine

if TYPE_CHECKING:
    from vmpod.client.simple import SimpleClient


@click.command("ssh", short_help="a shell in a virtual machine",
               context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False})  # fmt: skip
@machine.namespace()
@click.option("-l", "--user", default="", help="Who to log in as; also USER@VM.")
@click.option("-i", "--identity", type=click.Path(dir_okay=False), help="The private key to use.")
@click.option("-p", "--port", type=click.IntRange(1, 65535), default=22, show_default=True)
@machine.argument(metavar="[USER@]VM")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENT]…")
def command(vm: str, space: str, user: str, identity: str | None, port: int, arguments: tuple[str, ...]) -> None:
    """Log in to a virtual machine, or run a command in it. All that follows VM is for ssh."""
    from vmpod.cli import session

    if shutil.which("ssh") is None:
        raise Problem(f"log in to {vm}", "ssh is not installed", "apt-get install openssh-client", "Missing")
    named, _, plain = vm.rpartition("@")
    client = session.connect()
    reached = reach(client, machine.bare(plain), space)
    home = Paths.of().home
    words = argv(home, reached.vm, space, reached.owner, user=user or named, identity=identity or "", port=port,
                 arguments=arguments)  # fmt: skip
    client.close()
    sys.stdout.flush()
    os.execvpe("ssh", words, os.environ | {"VMPOD_HOME": str(home)})


@dataclass(frozen=True)
class Reached:
    """A machine that runs; `owner` is the uid of the VirtualMachine, else of the instance."""

    vm: str
    owner: str


def reach(client: SimpleClient, vm: str, space: str) -> Reached:
    """Who answers under this name. Raises Problem when nobody runs."""
    from vmpod.kinds import VIRTUALMACHINEINSTANCE
    from vmpod.model.meta import uid

    instance = client.find(VIRTUALMACHINEINSTANCE, space, vm)
    if instance is None:
        raise machine.missing(client, f"log in to {vm}", space, vm)
    owners = instance["metadata"].get("ownerReferences") or ()
    return Reached(vm, next((str(one["uid"]) for one in owners), uid(instance)))


def argv(home: Path, vm: str, space: str, owner: str, *, user: str, identity: str, port: int,
         arguments: Sequence[str]) -> list[str]:  # fmt: skip
    """The command line of ssh."""
    words = ["ssh", *options(home, Reached(vm, owner), space, port)]
    rest = list(arguments[1:] if arguments[:1] == ("--",) else arguments)
    return [*words, *(["-i", identity] if identity else []), *(["-l", user] if user else []), f"{vm}.{space}", *rest]


def options(home: Path, reached: Reached, space: str, port: int) -> list[str]:
    """What ssh and scp are told of the way. The host key is kept by uid: a machine made anew has a new one."""
    forward = [sys.executable, "-m", "vmpod", "_forward", "-n", space, reached.vm, str(port)]
    said = {
        "ProxyCommand": shlex.join(forward).replace("%", "%%"),
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": str(home / "known_hosts").replace("%", "%%"),
        "HostKeyAlias": f"{reached.vm}.{space}.{reached.owner}",
    }
    return [word for key, value in said.items() for word in ("-o", f"{key}={_quoted(value)}")]


def _quoted(value: str) -> str:
    """A file name with blanks is quoted for ssh's own parser; a ProxyCommand is a line of shell already."""
    return f'"{value}"' if " " in value and value.startswith("/") and " -m " not in value else value
