"""`vmpod create`: manifests to begin with. Nothing is sent anywhere."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import click

_STRATEGIES = ("Always", "Manual", "Halted", "Once", "RerunOnFailure")


@click.group("create", short_help="print the manifest of a virtual machine")
def command() -> None:
    """Print a manifest to begin with; `| vmpod up -` or `| kubectl apply -f -` makes it real."""


@command.command("vm")
@click.option("--name", default="", help="The name; vm-xxxxx by default.")
@click.option("--run-strategy", type=click.Choice(_STRATEGIES), default="Always", show_default=True)
@click.option("--memory", default="", help="Memory of the guest; 512Mi by default.")
@click.option("--instancetype", default="", metavar="[KIND/]NAME", help="The size; in place of --memory.")
@click.option("--preference", default="", metavar="[KIND/]NAME", help="What the guest likes best.")
@click.option("--termination-grace-period", "grace", type=click.IntRange(0), default=180, show_default=True)
@click.option("--volume-containerdisk", "disks", multiple=True, metavar="src:IMAGE[,bootorder:N][,name:NAME]")
@click.option("--volume-pvc", "claims", multiple=True, metavar="src:CLAIM[,bootorder:N][,name:NAME]")
@click.option("--volume-import", "imports", multiple=True, metavar="type:http,url:URL,size:SIZE[,bootorder:N]",
              help="A disk to be brought in: http, registry, blank, pvc, snapshot or upload.")
@click.option("--volume-sysprep", "sysprep", default="", metavar="src:NAME[,type:configMap|secret]")
@click.option("--cloud-init", type=click.Choice(["noCloud", "configDrive", "none"], case_sensitive=False),
              default="noCloud", show_default=True)
@click.option("--user", default="", help="The user that cloud-init makes.")
@click.option("--password-file", type=click.Path(exists=True, dir_okay=False), help="A file with the user's password.")
@click.option("--ssh-key", "keys", multiple=True, help="A public key that may log in.")
@click.option("--cloud-init-user-data", "user_data", default="", help="The whole user data, in place of the above.")
@click.option("--cloud-init-network-data", "network_data", default="", help="The network configuration.")
def vm(**said: Any) -> None:
    """Print a VirtualMachine as YAML, with the options that virtctl has."""
    from vmpod.base.errors import Problem
    from vmpod.cli.newmachine import Wanted, manifest
    from vmpod.model import yaml

    if said["memory"] and said["instancetype"]:
        raise Problem("create a machine", "--memory and --instancetype exclude each other", "leave one out", "Usage")
    password = Path(said["password_file"]).read_text().strip() if said["password_file"] else ""
    wanted = Wanted(
        name=said["name"] or f"vm-{secrets.token_hex(3)[:5]}", run_strategy=said["run_strategy"], memory=said["memory"],
        instancetype=said["instancetype"], preference=said["preference"], grace_s=said["grace"],
        container_disks=said["disks"], claims=said["claims"], imports=said["imports"], sysprep=said["sysprep"],
        cloud_init=said["cloud_init"], user=said["user"], password=password, ssh_keys=said["keys"],
        user_data=said["user_data"], network_data=said["network_data"],
    )  # fmt: skip
    click.echo(yaml.dump(manifest(wanted)).rstrip())
