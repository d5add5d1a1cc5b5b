"""UEFI firmware that this machine has, read from QEMU's own descriptors (docs/interop/firmware.json)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDERS = (Path("/etc/qemu/firmware"), Path("/usr/share/qemu/firmware"))


@dataclass(frozen=True)
class Firmware:
    """A pair of flash images; `secure_boot`: it checks signatures and has the vendors' keys."""

    code: str
    variables: str
    format: str
    secure_boot: bool


def find(folders: Iterable[Path] = FOLDERS) -> tuple[Firmware, ...]:
    """What is installed for x86_64 on q35, the preferred first."""
    files = sorted((file for folder in folders for file in folder.glob("*.json")), key=lambda file: file.name)
    return tuple(found for file in files if (found := _read(file)) is not None)


def _read(file: Path) -> Firmware | None:
    try:
        said = json.loads(file.read_text())
        return _parse(said) if _fits(said) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _fits(said: dict[str, Any]) -> bool:
    targets = [t for t in said["targets"] if t["architecture"] == "x86_64"]
    on_q35 = any(machine.startswith("pc-q35") for target in targets for machine in target["machines"])
    return "uefi" in said["interface-types"] and on_q35 and said["mapping"]["device"] == "flash"


def _parse(said: dict[str, Any]) -> Firmware | None:
    code, variables = said["mapping"]["executable"], said["mapping"].get("nvram-template")
    features = set(said["features"])
    is_secure = "secure-boot" in features
    if variables is None or not features.isdisjoint({"amd-sev-es", "amd-sev-snp", "intel-tdx"}):
        return None
    if is_secure and "enrolled-keys" not in features:
        return None
    return Firmware(code["filename"], variables["filename"], code["format"], is_secure)
