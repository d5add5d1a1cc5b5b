"""`vmpod removevolume`: unplug a disk from a running machine."""

from __future__ import annotations

import json

import click

from vmpod.cli import machine


@click.command("removevolume", short_help="unplug a disk from a running virtual machine")
@machine.argument()
@machine.namespace()
@click.option("--volume-name", "volume", required=True, help="The volume that was plugged in.")
@click.option("--dry-run", is_flag=True, help="Only ask whether it would be done.")
def command(vm: str, space: str, volume: str, dry_run: bool) -> None:
    """Unplug a disk that was plugged in. The DataVolume or claim and what is on it stay."""
    from vmpod.cli import asking, session

    vm = machine.bare(vm)
    body = {"name": volume} | ({"dryRun": ["All"]} if dry_run else {})
    client = session.connect()
    asking.ask(client, "PUT", vm, space, "removevolume", instance=False, body=json.dumps(body).encode())
    click.echo(f"{vm}: {volume} is being unplugged")
