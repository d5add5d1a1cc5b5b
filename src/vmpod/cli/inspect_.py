"""`vmpod inspect`: whether and how a disk image will boot, without starting it."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from vmpod.drivers.inspection.facts import Image
    from vmpod.intake.image import Advice

_MIB = 1 << 20
_CLOSED = {"luks": " (encrypted)", "bitlocker": " (encrypted)"}


@click.command("inspect", short_help="say whether and how a disk image will boot")
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="All that was found, and the advice, as one JSON object.")
@click.option("--virt-inspector", "ask", type=click.Choice(("auto", "always", "never")), default="auto",
              show_default=True, help="Ask libguestfs where it is installed; auto: for what is unread.")  # fmt: skip
def command(image: Path, as_json: bool, ask: str) -> None:
    """Look into an image (qcow2, vmdk, vdi, vhdx, vhd, raw, ISO; packed; .ova, .box) offline, reading only. Exit code 1
    when it will not boot."""
    from vmpod.cli import looking

    opened = looking.open_image(looking.image_of(image.expanduser()), ask)
    found, advice = opened.image, opened.advice
    if as_json:
        click.echo(json.dumps({"image": dataclasses.asdict(found), "advice": dataclasses.asdict(advice)}, indent=2))
    else:
        click.echo("\n".join((*disk(found), *guest(found), *judgement(advice))))
    if advice.verdict == "fails":
        sys.exit(1)


def disk(found: Image) -> Iterator[str]:
    """What the disk is and how it is divided."""
    table = {"gpt": "GPT", "mbr": "MBR", "iso9660": "ISO 9660"}.get(found.table, "no partition table")
    yield f"{found.path}"
    yield f"  format      {found.format}, {_size(found.virtual_bytes)} for the guest, {_size(found.actual_bytes)} here"
    yield f"  disk        {table}; boots by {' and '.join(map(str.upper, found.boots)) or 'nothing that was found'}"
    for part in found.parts:
        free = f", {_size(part.free_bytes)} free" if part.free_bytes >= 0 else ""
        what = (part.filesystem or part.kind) + _CLOSED.get(part.filesystem, "")
        yield f"    {part.name:<10}{_size(part.size):>10}  {what:<9}{part.label}{free}"


def guest(found: Image) -> Iterator[str]:
    """What is installed on it."""
    system = found.system
    if found.inspector:
        yield f"  inspector   virt-inspector says: {found.inspector}"
    if not system.family:
        yield "  system      none was recognised"
        return
    yield f"  system      {system.name} {f'({system.architecture})' if system.architecture else ''}".rstrip()
    if system.hostname:
        yield f"  hostname    {system.hostname}"
    for kernel in system.kernels:
        buses = f" (starts on {', '.join(kernel.buses)})" if kernel.buses else ""
        yield f"  kernel      {kernel.version}, virtio disk driver: {kernel.virtio}{buses}"
    there = {"cloud-init": system.cloud_init, "guest agent": system.guest_agent, "SSH server": system.ssh}
    yield f"  has         {', '.join(name for name, is_there in there.items() if is_there) or '–'}"
    yield f"  lacks       {', '.join(name for name, is_there in there.items() if not is_there) or '–'}"
    if system.users:
        yield f"  users       {', '.join(system.users)}"
    for service in system.services:
        ports = f" ({', '.join(map(str, service.ports))})" if service.ports else ""
        yield f"  service     {service.name}{ports}{'  ' + service.hint if service.hint else ''}"
    for hint in system.hints:
        yield f"  holds       {hint}"
    for trouble in system.troubles:
        yield f"  will bite   {trouble.what} ({trouble.where})"
        yield f"              {trouble.remedy}"


def judgement(advice: Advice) -> Iterator[str]:
    """Whether it boots, and with what."""
    yield f"  verdict     {advice.verdict}: {advice.why}"
    if advice.remedy:
        yield f"              {advice.remedy}"
    if advice.verdict == "fails":
        return
    for name, choice in (("disk bus", advice.bus), ("card", advice.model), ("firmware", advice.firmware),
                         ("machine", advice.machine), ("memory", advice.memory), ("cpus", advice.cpus)):  # fmt: skip
        yield f"  {name:<12}{choice.value}: {choice.why}"
    yield f"  {'ports':<12}{', '.join(map(str, advice.ports))}: {advice.ports_why}"
    if advice.probe.value:
        yield f"  {'probe':<12}{advice.probe.value}: {advice.probe.why}"
    for note in advice.notes:
        yield f"  note        {note}"


def _size(count: int) -> str:
    if count < _MIB:
        return f"{count} B"
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count / _MIB:.0f} MiB"
