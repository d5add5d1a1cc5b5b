"""examples/03-efi-tpm as its README says; then a stop with a dead engine in between: the state is still there."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmpod.base.paths import Paths

from ..acceptance import machines
from ..acceptance.machines import has_shell, heard, is_shown, stream, typed
from ..acceptance.pods import apply
from ..acceptance.test_snapshots import restore, snapshot
from .product import ROOT, Product, wait

pytestmark = [pytest.mark.host, pytest.mark.timeout(600)]
EXAMPLE = ROOT / "examples" / "03-efi-tpm"
VARIABLE = "/sys/firmware/efi/efivars/Kept-6a1a24a1-4061-4607-8bf4-a3963d0c5895"
INDEX = "01500020"
AUTHORIZATION = "0000000940000009" + "0000" + "00" + "0000"  # of 9 bytes: a password, which is empty
SEALED = b"sealed!!"


def command(code: int, handles: str, body: str) -> str:
    """A command to a TPM with an empty password, in hexadecimal (TPM 2.0 library, part 3)."""
    rest = f"{code:08x}{handles}{AUTHORIZATION}{body}"
    return f"8002{6 + len(rest) // 2:08x}{rest}"


def told_tpm(home: Product, *commands: str) -> list[str]:
    """What the TPM of the guest answers."""
    code = (f"import os; f = os.open('/dev/tpm0', os.O_RDWR); "
            f"[(os.write(f, bytes.fromhex(one)), print(os.read(f, 99).hex())) for one in {list(commands)!r}]")
    return typed(home, "sealed", f'python3 -c "{code}"', 60).split()


def state(home: Product) -> Path:
    (claim,) = home.read("pvc", "-l", "persistent-state-for=sealed")["items"]
    assert claim["metadata"]["ownerReferences"][0]["kind"] == "VirtualMachine"
    return Paths(home.home).volume(claim["spec"]["volumeName"])


def test_the_example(home: Product) -> None:
    home.kubectl("apply", "-f", str(EXAMPLE / "vm.yaml"))
    wait(lambda: home.kubectl("wait", "vmi", "sealed", "--for=condition=AgentConnected", "--timeout=50s", check=False
                              ).returncode == 0, "the guest is up", 300, 1)  # fmt: skip
    has_shell(home, "sealed")
    assert typed(home, "sealed", "ls -d /dev/tpm0 /sys/firmware/efi").split() == ["/dev/tpm0", "/sys/firmware/efi"]
    index = f"{INDEX}000b{(1 << 1) | (1 << 17) | (1 << 25):08x}00000008"  # no policy, 8 bytes; its owner writes and reads
    define = command(0x12A, "40000001", f"0000{len(index) // 2:04x}{index}")
    write = command(0x137, f"40000001{INDEX}", f"{len(SEALED):04x}{SEALED.hex()}0000")
    assert [one[12:20] for one in told_tpm(home, define, write)] == ["00000000", "00000000"]
    keep = f"open('{VARIABLE}', 'wb', 0).write(b'\\x07\\0\\0\\0kept by uefi')"
    assert typed(home, "sealed", f'mount -t efivarfs e /sys/firmware/efi/efivars; python3 -c "{keep}"') == ""

    home.kill_engine()
    home.vmpod("engine", "start")
    home.vmpod("restart", "sealed")
    is_shown(home, "sealed", "Running", 120)
    with stream(home, "sealed", "console") as console:
        heard(console, b"BdsDxe: starting", 180)
    found = state(home)
    assert SEALED in (found / "swtpm" / "tpm2-00.permall").read_bytes()
    assert b"kept by uefi" in (found / "nvram" / "sealed_VARS.fd").read_bytes()
    rows = home.read("vmi", "sealed")["status"]["volumeStatus"]
    assert [one["persistentVolumeClaimInfo"]["capacity"] for one in rows if one["name"].startswith("persistent-state-for-")]

    apply(home, snapshot("kept", "sealed"))
    home.kubectl("wait", "vmsnapshot", "kept", "--for=condition=Ready", "--timeout=60s")
    assert machines.condition(home, "vmi", "sealed", "Ready")["status"] == "True"  # it stood still for a moment only
    home.vmpod("stop", "sealed")
    is_shown(home, "sealed", "Stopped", 120)
    (found / "swtpm" / "tpm2-00.permall").write_bytes(b"worn out")
    apply(home, restore("back", "sealed", "kept"))
    home.kubectl("wait", "vmrestore", "back", "--for=condition=Ready", "--timeout=60s")
    wait(lambda: not found.exists(), "the replaced state is gone", 60)
    found = state(home)
    assert SEALED in (found / "swtpm" / "tpm2-00.permall").read_bytes()
    assert b"kept by uefi" in (found / "nvram" / "sealed_VARS.fd").read_bytes()
    home.kubectl("patch", "vm", "sealed", "--type=merge", "-p", '{"spec":{"runStrategy":"Always"}}')
    is_shown(home, "sealed", "Running", 120)
    with stream(home, "sealed", "console") as console:
        heard(console, b"BdsDxe: starting", 180)
    assert SEALED in (found / "swtpm" / "tpm2-00.permall").read_bytes()

    home.kubectl("delete", "vmrestore,vmsnapshot", "--all", "--timeout=60s")
    home.kubectl("delete", "vm", "sealed", "--wait=true")
    wait(lambda: not found.exists(), "the state is gone", 30)
