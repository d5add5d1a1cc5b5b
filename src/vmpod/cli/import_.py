"""`vmpod import`: bring a disk image in and write manifests for it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from vmpod.base.errors import Problem
from vmpod.cli import apply, bringing, looking, session
from vmpod.cli.apply import Wanted
from vmpod.cli.bringing import Drive, Wish
from vmpod.cli.progress import Progress
from vmpod.client.simple import SimpleClient
from vmpod.intake.appliance import Appliance
from vmpod.intake.documents import Manifest
from vmpod.kinds import PERSISTENTVOLUMECLAIM
from vmpod.model import names, quantity
from vmpod.model.meta import uid
from vmpod.model.status import ApiError

_LOOK_EVERY_S = 0.2
_GOING_S = 30.0


@click.command("import", short_help="bring a disk image in and write manifests for it")
@click.argument("image", type=click.Path())
@click.option("--name", default="", help="What the machine, its claim and its service are called; default: the file's.")
@click.option("-n", "--namespace", "space", default="default", show_default=True)
@click.option("--memory", default="", help="Of the machine; default: by what is on the image.")
@click.option("--cpus", type=click.IntRange(0, 512), default=0, help="Default: by what is on the image.")
@click.option("--size", default="", help="Of the disk that the machine sees; default: as large as the image.")
@click.option("--port", "ports", type=click.IntRange(1, 65535), multiple=True,
              help="What the service offers; repeatable; default: what the image's services listen on.")  # fmt: skip
@click.option("--output-dir", type=click.Path(file_okay=False, path_type=Path), default=Path(), show_default=True,
              help="Where NAME.yaml is written.")  # fmt: skip
@click.option("--up", "--apply", "bring_up", is_flag=True, help="Also start the machine and wait until it is ready.")
@click.option("--check-boot", is_flag=True, help="Start it once on a throw-away layer and say how far it comes.")
@click.option("--boot-timeout", type=float, default=300.0, show_default=True, help="Seconds for --check-boot.")
@click.option("--timeout", type=float, default=3600.0, show_default=True, help="Seconds to wait.")
def command(image: str, name: str, space: str, memory: str, cpus: int, size: str, ports: tuple[int, ...],
            output_dir: Path, bring_up: bool, check_boot: bool, boot_timeout: float, timeout: float,
            ) -> None:  # fmt: skip
    """Make a copy-on-write base of a disk image (qcow2, vmdk, vdi, vhdx, vhd, raw, ISO; also gzip, xz, zstd or bzip2
    of one; an .ova or a .box with its disks) and a claim upon it, and write a VirtualMachine and a Service to edit,
    chosen by what is on the image (`vmpod inspect` shows it), with the reasons. The image is only read."""
    file = looking.image_of(Path(image).expanduser())
    wish = _wish(file, name, space, memory, cpus, size, ports)
    target = output_dir / f"{wish.name}.yaml"
    _check_free(target)
    client = session.connect()
    _bring(client, wish, timeout)
    _write(target, bringing.text(wish))
    click.echo(f"{target} written: edit it, then")
    click.echo(f"  vmpod up {target}")
    if check_boot:
        _check_boot(client, wish, target.with_name(f"{wish.name}-boot.png"), boot_timeout)
    if bring_up:
        _up(client, target, wish, timeout)


def _wish(file: Path, name: str, space: str, memory: str, cpus: int, size: str, ports: tuple[int, ...]) -> Wish:
    """What is asked for, checked as far as it can be without the engine. Raises Problem."""
    opened = looking.open_image(file)
    advice, virtual = opened.advice, opened.image.virtual_bytes
    if advice.verdict == "fails":
        click.echo(f"{file} will not boot: {advice.why}\n  {advice.remedy}", err=True)
    called = name or bringing.name_of(file)
    if not names.is_dns1123_label(called):
        why = f"{called!r} is no name for an object (a-z, 0-9 and -, at most 63)"
        raise Problem(f"import {file}", why, f"vmpod import {file} --name NAME", "Name")
    for option, value in (("--memory", memory), ("--size", size)):
        if value and not quantity.is_valid(value):
            raise Problem(f"import {file}", f"{option} {value!r} is no quantity", f"{option} 2Gi", "Quantity")
    wanted = size or bringing.size_of(virtual)
    if quantity.to_bytes(wanted) < virtual:
        why = f"its disk has {bringing.size_of(virtual)}, more than --size {size}"
        raise Problem(f"import {file}", why, f"vmpod import {file} --size {bringing.size_of(virtual)}", "TooSmall")
    return Wish(called, space, file.resolve(), tuple(_drives(file, called, wanted, opened.appliance)),
                memory or advice.memory.value, cpus or int(advice.cpus.value),
                tuple(dict.fromkeys(ports or advice.ports)), advice, opened.image.cdrom)  # fmt: skip


def _drives(file: Path, name: str, size: str, said: Appliance) -> Iterator[Drive]:
    """The first disk, whose size was seen, and those that a description lists beside it. Raises Problem."""
    yield Drive(name, said.disks[0].path if said.disks else "", size)
    for number, disk in enumerate(said.disks[1:], 2):
        if not disk.capacity_bytes:
            why = f"its description does not say how large {disk.path} is"
            raise Problem(f"import {file}", why, "take the disks out of the archive and import each", "Size")
        yield Drive(f"{name}-disk{number}", disk.path, bringing.size_of(disk.capacity_bytes))


def _check_boot(client: SimpleClient, wish: Wish, picture: Path, timeout_s: float) -> None:
    """Say how far a throw-away machine came; exit with 1 when its system was not seen to be up."""
    from vmpod.cli import checkboot

    found = checkboot.check(client, wish, picture, timeout_s)
    checkboot.say(found, picture)
    if not found.is_up:
        sys.exit(1)


def _check_free(target: Path) -> None:
    if target.exists():
        fix = f"rm {target}   (or --name, or --output-dir)"
        raise Problem(f"write {target}", "the file exists, and may have been edited", fix, "Exists")


def _write(target: Path, text: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    except OSError as error:
        fix = "vmpod import again with another --output-dir"
        raise Problem(f"write {target}", error.strerror or str(error), fix, "Unwritable") from None


def _bring(client: SimpleClient, wish: Wish, timeout_s: float) -> None:
    """Make the claims and wait until their images are in. Whatever goes wrong, all are taken back. Raises Problem."""
    wanted = apply.resolve([Manifest(one, str(wish.image)) for one in bringing.claims(wish)], wish.namespace)
    for drive in wish.drives:
        if client.find(PERSISTENTVOLUMECLAIM, wish.namespace, drive.name) is not None:
            fix = f"kubectl delete pvc {drive.name} -n {wish.namespace}   (its data goes too), or --name"
            raise Problem(f"import {wish.image}", f"there is a claim called {drive.name} already", fix, "Exists")
    done = False
    try:
        for one in wanted:
            apply.apply(client, one)
        for drive in wish.drives:
            _await(client, wish, drive, timeout_s)
        done = True
    finally:
        for one in () if done else wanted:
            _take_back(client, one)


def _await(client: SimpleClient, wish: Wish, drive: Drive, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    called = f"import {drive.member or wish.image.name}"
    with Progress() as progress:
        while True:
            stands = bringing.standing(client.get(PERSISTENTVOLUMECLAIM, wish.namespace, drive.name))
            progress.show({called: "it failed" if stands.hopeless else stands.why})
            if stands.is_ready:
                return
            if stands.hopeless:
                raise _failed(wish, stands.why)
            if time.monotonic() > deadline:
                why = f"it took longer than {timeout_s:g} s"
                raise Problem(f"import {wish.image}", why, "vmpod import with a longer --timeout", "Timeout")
            time.sleep(_LOOK_EVERY_S)


def _failed(wish: Wish, said: str) -> Problem:
    """The engine's own words are `cannot …: why`, and on the next line what mends it."""
    first, _, fix = said.partition("\n")
    what, _, why = first.removeprefix("cannot ").partition(": ")
    if not why:
        what, why = f"import {wish.image}", first
    return Problem(what, why, fix.strip(), "ImportFailed")


def _take_back(client: SimpleClient, wanted: Wanted) -> None:
    """Remove the claim that was made, and wait until it is gone; silently, for another error is on its way."""
    space, called = wanted.obj["metadata"]["namespace"], wanted.obj["metadata"]["name"]
    try:
        found = client.find(PERSISTENTVOLUMECLAIM, space, called)
        if found is None:
            return
        client.delete(PERSISTENTVOLUMECLAIM, space, called, uid=uid(found))
        deadline = time.monotonic() + _GOING_S
        while client.find(PERSISTENTVOLUMECLAIM, space, called) is not None and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)
    except (ApiError, Problem) as error:
        click.echo(f"the claim {called} could not be removed: {error}", err=True)


def _up(client: SimpleClient, target: Path, wish: Wish, timeout_s: float) -> None:
    from vmpod.cli import up_
    from vmpod.intake import manifests

    wanted = apply.resolve(manifests.read((str(target),)), wish.namespace)
    for one in wanted:
        click.echo(f"{one.title} {apply.apply(client, one)}")
    up_.wait(client, wanted, timeout_s)
