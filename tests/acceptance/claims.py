"""Claims of the acceptance tests: how far DataVolumes are, and what is on disk of them."""

from __future__ import annotations

from pathlib import Path

from vmpod.base.paths import Paths

from ..e2e.product import Product, wait
from .machines import gone


def phase(home: Product, name: str) -> str:
    return home.value(".status.phase", "dv", name)


def reaches(home: Product, name: str, wanted: str, timeout_s: float = 40) -> None:
    wait(lambda: phase(home, name) == wanted, f"the DataVolume {name} is {wanted}, not {phase(home, name)}", timeout_s)


def disks(home: Product) -> Path:
    return Paths(home.home).volumes.parent


def left(home: Product) -> list[str]:
    """What of imports and volumes is on disk, container disks aside."""
    paths = Paths(home.home)
    taken = {record.read_text().split()[0] for record in paths.bases.glob("*.image")}
    return [str(path) for path in (*paths.staging.iterdir(), *paths.volumes.iterdir(), *paths.bases.glob("*.qcow2"))
            if path.stem not in taken]  # fmt: skip


def remove_all(home: Product) -> None:
    """Everything goes in one command, in any order; nothing of it is left on disk."""
    home.kubectl("delete", "dv,pvc,vm,pod", "--all", "--timeout=40s")
    gone(home, "dv", "pvc", "pv", "vm", "vmi")
    wait(lambda: not left(home), f"nothing left: {left(home)}", 20)
