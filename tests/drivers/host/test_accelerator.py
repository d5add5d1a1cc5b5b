"""The probe guest: its bytes, and that it really runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from vmpod.drivers.host import accelerator


def test_rom_is_one_segment_with_the_jump_at_the_reset_vector() -> None:
    rom = accelerator.rom()
    assert len(rom) == 0x10000
    assert rom[0xFFF0:0xFFF3] == bytes.fromhex("e90d00")
    assert rom[:2] == b"\xfa\xfc"
    assert not any(rom[216:0xFFF0])


@pytest.mark.host
async def test_rom_runs_every_step_under_emulation() -> None:
    if not shutil.which(accelerator.PROGRAM):
        pytest.skip("needs qemu-system-x86_64")
    assert await accelerator.run_rom("tcg", 20) == (33, "12345")


@pytest.mark.host
async def test_verdict_in_time() -> None:
    verdict = await accelerator.probe()
    assert verdict.accelerator in ("kvm", "tcg")
    assert verdict.reason


async def test_no_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(accelerator, "DEVICE", tmp_path / "kvm")
    assert (await accelerator.probe()).accelerator == "tcg"


@pytest.mark.parametrize(("code", "steps", "expected"), [
    (33, "12345", "kvm"), (None, "123", "tcg"), (33, "12", "tcg"), (1, "", "tcg")])
async def test_verdict_from_what_the_guest_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int | None, steps: str, expected: str
) -> None:
    async def told(name: str, timeout_s: float) -> tuple[int | None, str]:
        return code, steps

    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(accelerator, "DEVICE", device)
    monkeypatch.setattr(accelerator, "run_rom", told)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert (await accelerator.probe()).accelerator == expected
