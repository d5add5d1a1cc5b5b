"""Whether KVM really runs a guest.

The device's presence proves nothing: a para-virtual KVM answers every ioctl and then hangs each 64-bit guest. So a
tiny firmware runs under it: it enters long mode, spins five million rounds and uses SSE, telling each step on the
debug port, then leaves by the exit device. A healthy KVM needs some 100 ms.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vmpod.base import proc
from vmpod.base.errors import Problem

PROGRAM = "qemu-system-x86_64"
DEVICE = Path("/dev/kvm")
TIMEOUT_S = 2.0
_STEPS = "12345"
_EXIT_CODE = 33  # isa-debug-exit turns the byte 0x10 into 0x10 << 1 | 1
_ROM_BYTES = 1 << 16
_ENTRY = 0xFFF0

# Starts at address 0 of the segment: 16-bit start, page tables at 0x1000, long mode, loop, SSE, exit; then its GDT.
_CODE = bytes.fromhex(
    "fafcb031e6e931c08ed88ec0bf0010b90018f3ab66c70600100320000066c70618200330000066c706f83f8300e0ff2e660f0116d0000f20"
    "e06683c8200f22e066b8001000000f22d866b9800000c00f32660d000100000f30b032e6e90f20c0660d010000800f22c066ea7100ffff08"
    "00b033e6e948bbf0debc9a78563412480fcbb9404b4c00ffc975fcb034e6e90f20e0480d000600000f22e00f20c083e0fb83c8020f22c00f"
    "57c0660f7ec30f31b035e6e9b01066baf400eef4ebfd66900000000000000000ffff0000009baf000f00c000ffff0000"
)
_JUMP_TO_START = bytes.fromhex("e90d00")


@dataclass(frozen=True)
class Verdict:
    """`kvm` or `tcg`, and why."""

    accelerator: str
    reason: str


def rom() -> bytes:
    """The firmware: code at 0, the processor's first instruction at 0xfff0."""
    head = _CODE.ljust(_ENTRY, b"\0") + _JUMP_TO_START
    return head.ljust(_ROM_BYTES, b"\0")


async def probe() -> Verdict:
    """Choose the accelerator; at most `TIMEOUT_S` seconds."""
    if not DEVICE.exists():
        return Verdict("tcg", "/dev/kvm does not exist: the processor's virtualisation is off, or this is a guest")
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return Verdict("tcg", "/dev/kvm may not be opened by this user")
    if shutil.which(PROGRAM) is None:
        return Verdict("tcg", f"{PROGRAM} is not installed")
    code, steps = await run_rom("kvm", TIMEOUT_S)
    if code == _EXIT_CODE and steps == _STEPS:
        return Verdict("kvm", "a probe guest ran")
    return Verdict("tcg", _failure(code, steps))


def _failure(code: int | None, steps: str) -> str:
    if code is None:
        return f"/dev/kvm exists but hangs a 64-bit guest (step {len(steps)} of {len(_STEPS)})"
    return f"/dev/kvm exists but a probe guest failed (exit code {code}, step {len(steps)} of {len(_STEPS)})"


async def run_rom(accelerator: str, timeout_s: float) -> tuple[int | None, str]:
    """QEMU's exit code (None: it did not end in time) and the steps that the firmware told."""
    with tempfile.TemporaryDirectory(prefix="vmpod-probe-") as folder:
        image, told = Path(folder, "probe.rom"), Path(folder, "steps")
        image.write_bytes(rom())
        code = await _exit_code(_argv(accelerator, image, told), timeout_s)
        return code, told.read_text() if told.exists() else ""


def _argv(accelerator: str, image: Path, told: Path) -> list[str]:
    """A guest that hangs must not outlive an engine that is killed meanwhile: setpriv(1) of util-linux sees to it."""
    mortal = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    return [
        *mortal, PROGRAM, "-nodefaults", "-no-user-config",
        "-machine", f"pc,accel={accelerator}", "-m", "4", "-display", "none", "-bios", str(image),
        "-debugcon", f"file:{told}", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
    ]  # fmt: skip


async def _exit_code(argv: list[str], timeout_s: float) -> int | None:
    try:
        return (await proc.run(argv, timeout_s=timeout_s, check=False)).code
    except Problem as problem:
        if problem.reason == "Timeout":
            return None
        raise
