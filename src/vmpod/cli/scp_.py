"""`vmpod scp`: copy files to and from a machine by the scp of this host."""

from __future__ import annotations

import os
import shutil
import sys

import click

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.cli import machine


@click.command("scp", short_help="copy files to and from a virtual machine")
@machine.namespace()
@click.option("-l", "--user", default="", help="Who to log in as; also USER@VM:PATH.")
@click.option("-i", "--identity", type=click.Path(dir_okay=False), help="The private key to use.")
@click.option("-p", "--port", type=click.IntRange(1, 65535), default=22, show_default=True)
@click.option("-r", "--recursive", is_flag=True, help="Copy folders with all that is in them.")
@click.option("--preserve", is_flag=True, help="Keep modes and times.")
@click.argument("source")
@click.argument("target")
def command(space: str, user: str, identity: str | None, port: int, recursive: bool, preserve: bool, source: str,
            target: str) -> None:  # fmt: skip
    """Copy SOURCE to TARGET, of which one is [USER@]VM:PATH and the other a file of this host."""
    from vmpod.cli import session, ssh_

    if shutil.which("scp") is None:
        raise Problem("copy files", "scp is not installed", "apt-get install openssh-client", "Missing")
    there, here = (source, target) if ":" in source else (target, source)
    login, colon, path = there.partition(":")
    if not colon or ":" in here:
        raise click.UsageError("one of SOURCE and TARGET is [USER@]VM:PATH, the other a file of this host")
    named, _, vm = login.rpartition("@")
    client = session.connect()
    reached = ssh_.reach(client, machine.bare(vm), space)
    client.close()
    options = ["scp", *ssh_.options(Paths.of().home, reached, space, port), *(["-i", identity] if identity else [])]
    options += [flag for flag, wanted in (("-r", recursive), ("-p", preserve)) if wanted]
    who = f"{user or named}@" if user or named else ""
    far = f"{who}{reached.vm}.{space}:{path}"
    sys.stdout.flush()
    os.execvpe("scp", [*options, "--", *((far, here) if there is source else (here, far))],
               os.environ | {"VMPOD_HOME": str(Paths.of().home)})  # fmt: skip
