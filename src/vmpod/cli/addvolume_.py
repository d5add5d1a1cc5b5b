"""`vmpod addvolume`: plug a disk into a running machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from vmpod.base.errors import Problem
from vmpod.cli import machine

if TYPE_CHECKING:
    from vmpod.client.simple import SimpleClient
    from vmpod.model.meta import Object

_CACHES = ("none", "writethrough", "writeback")


@click.command("addvolume", short_help="plug a disk into a running virtual machine")
@machine.argument()
@machine.namespace()
@click.option("--volume-name", "volume", required=True, help="The DataVolume or claim that holds the disk.")
@click.option("--disk-name", default="", help="What the disk is called in the machine; as the volume by default.")
@click.option("--serial", default="", help="The disk's serial number; the volume's name by default.")
@click.option("--cache", type=click.Choice(_CACHES), help="How the host caches it.")
@click.option("--disk-type", type=click.Choice(["disk", "lun", "cdrom"]), default="disk", show_default=True)
@click.option("--bus", type=click.Choice(["scsi", "virtio", "sata"]), default="scsi", show_default=True)
@click.option("--dry-run", is_flag=True, help="Only ask whether it would be done.")
def command(vm: str, space: str, volume: str, disk_name: str, serial: str, cache: str | None, disk_type: str, bus: str,
            dry_run: bool) -> None:  # fmt: skip
    """Plug a disk into a running virtual machine, and keep it in its template. The guest sees it within seconds."""
    from vmpod.cli import asking, session

    vm = machine.bare(vm)
    client = session.connect()
    disk: Object = {"name": disk_name, disk_type: {"bus": bus}, "serial": serial or volume}
    body: Object = {"name": volume, "disk": disk | ({"cache": cache} if cache else {}),
                    "volumeSource": _source(client, vm, space, volume)}  # fmt: skip
    body |= {"dryRun": ["All"]} if dry_run else {}
    asking.ask(client, "PUT", vm, space, "addvolume", instance=False, body=json.dumps(body).encode())
    click.echo(f"{vm}: {volume} is being plugged in")


def _source(client: SimpleClient, vm: str, space: str, volume: str) -> Object:
    """A DataVolume of that name, else a claim. Raises Problem when there is neither."""
    from vmpod.kinds import DATAVOLUME, PERSISTENTVOLUMECLAIM

    if client.find(DATAVOLUME, space, volume) is not None:
        return {"dataVolume": {"name": volume, "hotpluggable": True}}
    if client.find(PERSISTENTVOLUMECLAIM, space, volume) is not None:
        return {"persistentVolumeClaim": {"claimName": volume, "hotpluggable": True}}
    why = f"there is no DataVolume and no claim {volume!r} in the namespace {space!r}"
    raise Problem(f"plug {volume} into {vm}", why, f"kubectl get dv,pvc -n {space}", "NotFound")
