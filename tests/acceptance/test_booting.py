"""What a machine is started from, beside a disk: a kernel out of an image."""

from __future__ import annotations

import pytest

from vmpod.base.paths import Paths

from ..e2e.product import Product, wait
from .machines import LAB, is_shown, machine, says, typed
from .pods import apply

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]

ARGUMENTS = "console=ttyS0 quiet told=here rdinit=/bin/busybox -- ash"  # nothing but a shell


def with_kernel(name: str, **container: str) -> dict[str, object]:
    """A machine without any disk that starts the lab's kernel."""
    made = machine(name, memory="256Mi")
    inside = made["spec"]["template"]["spec"]
    del inside["volumes"], inside["domain"]["devices"]["disks"]
    boot = {"container": {"image": LAB, "kernelPath": "/boot/vmlinuz", "initrdPath": "/boot/initrd", **container}}
    inside["domain"]["firmware"] = {"kernelBoot": boot | {"kernelArgs": ARGUMENTS}}
    return made


def test_a_kernel_out_of_an_image_without_a_disk(home: Product) -> None:
    apply(home, with_kernel("bare"))
    is_shown(home, "bare", "Running", 60)

    def arguments() -> str:
        try:
            return typed(home, "bare", "b=/bin/busybox; $b mkdir -p /proc; $b mount -t proc p /proc; $b cat /proc/cmdline", 5)
        except AssertionError:
            return ""

    wait(lambda: arguments() == ARGUMENTS, "its initramfs has a shell", 120, 0.5)
    apply(home, with_kernel("missing", kernelPath="/boot/no-such-kernel"))
    says(home, "missing", "there is no file /boot/no-such-kernel in it")
    assert len(list(Paths(home.home).bases.glob("*.file"))) == 2
    home.kubectl("delete", "vm", "bare", "missing", "--wait=true")
