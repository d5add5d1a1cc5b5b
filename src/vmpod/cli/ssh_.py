"""`vmpod ssh`: the ssh of this host, through the engine to a machine. No address and no route is needed."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.cli import machine


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
    from vmpod.kinds import VIRTUALMACHINEINSTANCE
    from vmpod.model.meta import uid

    if shutil.which("ssh") is None:
        raise Problem(f"log in to {vm}", "ssh is not installed", "apt-get install openssh-client", "Missing")
    named, _, plain = vm.rpartition("@")
    plain = machine.bare(plain)
    client = session.connect()
    instance = client.find(VIRTUALMACHINEINSTANCE, space, plain)
    if instance is None:
        raise machine.missing(client, f"log in to {plain}", space, plain)
    paths = Paths.of()
    owner = next((str(one["uid"]) for one in instance["metadata"].get("ownerReferences") or ()), uid(instance))
    words = argv(paths.home, plain, space, owner, user=user or named, identity=identity or "", port=port,
                 arguments=arguments)  # fmt: skip
    client.close()
    sys.stdout.flush()
    os.execvpe("ssh", words, os.environ | {"VMPOD_HOME": str(paths.home)})


def argv(home: Path, vm: str, space: str, owner: str, *, user: str, identity: str, port: int,
         arguments: Sequence[str]) -> list[str]:  # fmt: skip
    """The command line of ssh. The host key is kept under the machine's uid: a machine made anew has a new one."""
    forward = [sys.executable, "-m", "vmpod", "_forward", "-n", space, vm, str(port)]
    options = {
        "ProxyCommand": shlex.join(forward).replace("%", "%%"),
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": str(home / "known_hosts").replace("%", "%%"),
        "HostKeyAlias": f"{vm}.{space}.{owner}",
    }
    words = ["ssh", *(word for key, value in options.items() for word in ("-o", f"{key}={_quoted(value)}"))]
    rest = list(arguments[1:] if arguments[:1] == ("--",) else arguments)
    return [*words, *(["-i", identity] if identity else []), *(["-l", user] if user else []), f"{vm}.{space}", *rest]


def _quoted(value: str) -> str:
    """A file name with blanks is quoted for ssh's own parser; a ProxyCommand is a line of shell already."""
    return f'"{value}"' if " " in value and value.startswith("/") and " -m " not in value else value
