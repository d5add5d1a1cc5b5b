"""The manifests that `vmpod import` writes for an image, and how an import stands. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vmpod.cli.ready import Verdict
from vmpod.intake.image import Advice
from vmpod.model import meta
from vmpod.model.meta import Object, get
from vmpod.model.yaml import dump_all

_CDI: Final = "cdi.kubevirt.io/storage"
_MIB: Final = 1 << 20
_PORT_NAMES: Final = {22: "ssh", 80: "http", 443: "https", 3306: "mysql", 5432: "postgres", 8080: "http-alt"}
_LONGEST_NAME: Final = 63
_ENDINGS: Final = (".gz", ".xz", ".zst", ".bz2", ".tar", ".ova", ".box", ".qcow2", ".img", ".raw", ".vmdk", ".vdi",
                   ".vhdx", ".vhd", ".iso")  # fmt: skip


@dataclass(frozen=True)
class Drive:
    """A disk that comes with the machine: its claim, its file in the archive (empty: there is none), its size."""

    name: str
    member: str
    size: str


@dataclass(frozen=True)
class Wish:
    """What is to be made of an image: a machine, a service and the claim of its first disk, all called `name`."""

    name: str
    namespace: str
    image: Path
    drives: tuple[Drive, ...]
    memory: str
    cpus: int
    ports: tuple[int, ...]
    advice: Advice
    is_cdrom: bool = False


def name_of(image: Path) -> str:
    """A name for what becomes of an image file: its own, as a DNS label. Empty when nothing of it can be used."""
    stem = image.name
    for ending in _ENDINGS:
        stem = stem.removesuffix(ending)
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:_LONGEST_NAME].rstrip("-")


def size_of(count: int) -> str:
    """A quantity that holds so many bytes, in whole MiB or GiB."""
    mebibytes = max(1, -(-count // _MIB))
    return f"{mebibytes // 1024}Gi" if mebibytes % 1024 == 0 else f"{mebibytes}Mi"


def claims(wish: Wish) -> list[Object]:
    """The claims that the disks are brought into."""
    return [_claim(wish, drive) for drive in wish.drives]


def _claim(wish: Wish, drive: Drive) -> Object:
    marks = {f"{_CDI}.import.source": "file", f"{_CDI}.import.endpoint": f"file://{wish.image}"}
    marks |= {"vmpod.io/import.member": drive.member} if drive.member else {}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": drive.size}}}
    return _object("v1", "PersistentVolumeClaim", wish, spec, name=drive.name, annotations=marks)


def machine(wish: Wish) -> Object:
    """The machine that boots from it."""
    how = {"cdrom" if wish.is_cdrom else "disk": {"bus": wish.advice.bus.value}}
    disks = {"system" if not number else f"disk{number + 1}": drive for number, drive in enumerate(wish.drives)}
    domain: Object = {
        "cpu": {"cores": wish.cpus},
        "memory": {"guest": wish.memory},
        "devices": {
            "disks": [{"name": called, **how} for called in disks],
            "interfaces": [{"name": "default", "model": wish.advice.model.value, "masquerade": {}}],
        },
    }
    if wish.advice.firmware.value == "uefi":
        domain["firmware"] = {"bootloader": {"efi": {"secureBoot": False}}}
    domain["machine"] = {"type": wish.advice.machine.value}
    probe = _probe(wish.advice.probe.value)
    template = {
        "metadata": {"labels": {"app": wish.name}},
        "spec": {
            "domain": domain,
            **({"readinessProbe": probe} if probe else {}),
            "networks": [{"name": "default", "pod": {}}],
            "volumes": [{"name": called, "persistentVolumeClaim": {"claimName": drive.name}}
                        for called, drive in disks.items()],
        },
    }
    return _object("kubevirt.io/v1", "VirtualMachine", wish, {"runStrategy": "Always", "template": template})


def _probe(said: str) -> Object:
    """A readiness probe as `Advice.probe` names it: `tcp:PORT`, `agent` or nothing."""
    kind, _, port = said.partition(":")
    if kind == "tcp":
        return {"tcpSocket": {"port": int(port)}, "periodSeconds": 5}
    return {"guestAgentPing": {}, "periodSeconds": 5} if kind == "agent" else {}


def service(wish: Wish) -> Object:
    """The name by which containers and machines reach it."""
    ports = [{"name": _PORT_NAMES.get(port, f"port-{port}"), "port": port} for port in wish.ports]
    return _object("v1", "Service", wish, {"selector": {"app": wish.name}, "ports": ports})


def _object(version: str, kind: str, wish: Wish, spec: Object, **more: Any) -> Object:
    meta: Object = {"name": wish.name, "labels": {"app": wish.name}, **more}
    if wish.namespace != "default":
        meta["namespace"] = wish.namespace
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec}


def text(wish: Wish) -> str:
    """The manifests to edit."""
    objects: Sequence[Object] = (*claims(wish), machine(wish), service(wish))
    head = (
        f"# Made by `vmpod import {wish.image.name}`. To edit: cpu and memory, what the application needs, its ports.\n"
        "# The claim is filled from the image file on this host. On a cluster fill it with:\n"
        + "".join(f"#   {line}\n" for line in _elsewhere(wish))
    )
    return head + "".join(f"# {line}\n" for line in _notes(wish)) + _explained(dump_all(objects), wish.advice)


def _elsewhere(wish: Wish) -> Iterator[str]:
    """How a cluster gets the disks: those in an archive are taken out of it first."""
    members = [drive.member for drive in wish.drives if drive.member]
    if members:
        yield f"tar -xf {wish.image.name} {' '.join(members)}"
    for drive in wish.drives:
        path = drive.member or wish.image.name
        yield f"virtctl image-upload pvc {drive.name} --size={drive.size} --image-path={path}"


def _notes(wish: Wish) -> Iterator[str]:
    """What a person should know of the image before it is started."""
    yield f"{wish.advice.verdict}: {wish.advice.why}"
    if wish.advice.firmware.value == "bios":
        yield f"firmware BIOS (the default): {wish.advice.firmware.why}"
    yield from wish.advice.notes


def _explained(text: str, advice: Advice) -> str:
    """The reasons of the choices, behind the lines that hold them."""
    reasons = {
        "bus: ": advice.bus.why, "type: ": advice.machine.why, "model: ": advice.model.why, "efi:": advice.firmware.why,
        "readinessProbe:": advice.probe.why, "guest: ": advice.memory.why, "cores: ": advice.cpus.why,
        "ports:": advice.ports_why,
    }  # fmt: skip
    return "".join(line + _reason(line, reasons) + "\n" for line in text.splitlines())


def _reason(line: str, reasons: dict[str, str]) -> str:
    found = next((why for begins, why in reasons.items() if line.strip().removeprefix("- ").startswith(begins)), "")
    return f"  # {found}" if found else ""


def standing(claim: Object) -> Verdict:
    """How the import into a claim stands. One that failed, even if it will be tried again, is hopeless."""
    said = meta.annotations(claim)
    phase, why = said.get(f"{_CDI}.pod.phase", ""), said.get(f"{_CDI}.condition.running.message", "")
    if phase == "Succeeded":
        return Verdict()
    if phase == "Failed" or int(said.get(f"{_CDI}.pod.restarts") or 0) > 0:
        return Verdict(why or "the import failed", hopeless=True)
    if phase == "Running":
        return Verdict(f"importing {said.get('vmpod.io/progress') or ''}".rstrip())
    return Verdict("waits for its volume" if get(claim, "status", "phase") != "Bound" else "waits for the import")
