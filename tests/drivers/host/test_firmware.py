"""Firmware descriptors as distributions write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vmpod.drivers.host.firmware import Firmware, find


def describe(folder: Path, name: str, **changes: Any) -> None:
    base: dict[str, Any] = {
        "interface-types": ["uefi"], "features": [],
        "mapping": {"device": "flash", "executable": {"filename": f"/{name}.code", "format": "raw"},
                    "nvram-template": {"filename": f"/{name}.vars", "format": "raw"}},
        "targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"]}],
    }
    (folder / f"{name}.json").write_text(json.dumps(base | changes))


def test_only_what_fits_in_the_order_of_names(tmp_path: Path) -> None:
    describe(tmp_path, "60-plain")
    describe(tmp_path, "40-secure", features=["secure-boot", "enrolled-keys", "requires-smm"])
    describe(tmp_path, "50-keyless", features=["secure-boot", "requires-smm"])
    describe(tmp_path, "30-arm", targets=[{"architecture": "aarch64", "machines": ["virt-*"]}])
    describe(tmp_path, "20-bios", **{"interface-types": ["bios"]})
    describe(tmp_path, "10-memory", mapping={"device": "memory", "filename": "/x"})
    (tmp_path / "00-broken.json").write_text("{")
    assert find([tmp_path, tmp_path / "missing"]) == (
        Firmware("/40-secure.code", "/40-secure.vars", "raw", True),
        Firmware("/60-plain.code", "/60-plain.vars", "raw", False),
    )
