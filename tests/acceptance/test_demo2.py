"""Demo 2 of the talk word for word: an operating system is installed from an ISO in a private registry, by VNC.

The ISO is Debian's installer. It is driven through the machine's screen as far as its first menu.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vmpod.cli.bridge import Stream

from ..e2e.product import Product, wait
from .machines import build, gone, is_shown, remove_images, stream, tell
from .screens import DOWN, PAGE, RETURN, Viewer
from .test_pods import registry

pytestmark = [pytest.mark.host, pytest.mark.timeout(400)]
DEMO = Path(__file__).parent / "demo2"
INSTALLER = Path("/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64")
ISOLINUX = (Path("/usr/lib/ISOLINUX/isolinux.bin"), Path("/usr/lib/syslinux/modules/bios/ldlinux.c32"))
DRIVERS = "localhost/kubevirt/virtio-container-disk"
MENU = """DEFAULT install
PROMPT 1
TIMEOUT 0
DISPLAY page.txt
LABEL install
  KERNEL linux
  APPEND initrd=initrd.gz vga=normal fb=false nomodeset priority=low
"""


@pytest.fixture(scope="module")
def installer(host: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ISO that waits at its boot prompt, then loads Debian's installer in text mode."""
    for needed in (INSTALLER / "linux", INSTALLER / "initrd.gz", *ISOLINUX):
        if not needed.exists():
            pytest.skip(f"needs {needed}: scripts/packages --tests")
    folder = tmp_path_factory.mktemp("iso")
    inside = folder / "root" / "isolinux"
    inside.mkdir(parents=True)
    for one in (INSTALLER / "linux", INSTALLER / "initrd.gz", *ISOLINUX):
        shutil.copy(one, inside)
    (inside / "page.txt").write_text(PAGE, newline="")
    (inside / "isolinux.cfg").write_text(MENU)
    argv = ["xorriso", "-as", "mkisofs", "-quiet", "-o", str(folder / "installer.iso"), "-b", "isolinux/isolinux.bin", "-c",
            "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", str(folder / "root")]  # fmt: skip
    subprocess.run(argv, check=True, capture_output=True)
    return folder / "installer.iso"


@pytest.fixture(scope="module")
def server(installer: Path) -> Iterator[str]:
    """The registry behind a password that has the ISO; the store of this machine has it no more."""
    port = 5700 + os.getpid() % 200
    with registry(installer.parent, port) as image:
        server = image.partition("/")[0]
        name = f"{server}/w2k19_iso:jul2021"
        build(installer.parent, name, {"/disk/": installer})
        push = ["podman", "push", "-q", "--tls-verify=false", "--creds=bob:pw", name]
        subprocess.run(push, check=True, capture_output=True)
        remove_images(name)
        build(installer.parent, DRIVERS, {"/disk/": drivers(installer.parent)})
        yield server
    remove_images(name, DRIVERS)


def drivers(folder: Path) -> Path:
    """A small second CD."""
    (folder / "guest").mkdir()
    (folder / "guest" / "readme.txt").write_text("drivers\n")
    argv = ["xorriso", "-as", "mkisofs", "-quiet", "-o", str(folder / "virtio-win.iso"), str(folder / "guest")]
    subprocess.run(argv, check=True, capture_output=True)
    return folder / "virtio-win.iso"


@contextmanager
def screen(home: Product, name: str) -> Iterator[Viewer]:
    """`virtctl vnc NAME`."""
    with stream(home, name, "vnc") as opened:
        yield viewer(opened)


def viewer(opened: Stream) -> Viewer:
    made = Viewer(opened.send, opened.step)
    made.open()
    return made


def test_demo_2(home: Product, server: str) -> None:
    home.kubectl("create", "secret", "docker-registry", "kubevirtcontainerregistrysecret", f"--docker-server={server}",
                 "--docker-username=bob", "--docker-password=pw")  # fmt: skip
    home.kubectl("apply", "-f", str(DEMO / "pvc.yaml"))
    home.kubectl("apply", "-f", "-", stdin=(DEMO / "vm.yaml").read_text().replace("registry.example", server))
    is_shown(home, "win2k19reg", "Running", 90)
    assert "Running" in home.kubectl("get", "vmi").stdout
    assert "managed-premium" in home.kubectl("describe", "pvc", "winhd").stdout
    letters = _install(home)
    disk = home.value(".spec.volumeName", "pvc", "winhd")
    home.kubectl("delete", "vm", "win2k19reg", "--timeout=90s")
    gone(home, "vm", "vmi")
    home.kubectl("apply", "-f", str(DEMO / "vm-installed.yaml"))
    is_shown(home, "win2k19reg", "Running")
    assert home.value(".spec.volumeName", "pvc", "winhd") == disk
    with screen(home, "win2k19reg") as shown:
        shown.letters = letters
        said = shown.read(shown.shows("No bootable device", 60))
    assert not any("DVD/CD" in line for line in said)
    wait(lambda: home.address("vmrdp"), "the service has an address outside", 20)
    assert "3389:" in home.kubectl("get", "service", "vmrdp").stdout
    assert tell(home, "win2k19reg", "stop", {"gracePeriod": 0})[0] == 202  # a screen without a system hears no button
    home.kubectl("delete", "vm,pvc,service,secret", "win2k19reg", "winhd", "vmrdp", "kubevirtcontainerregistrysecret",
                 "--ignore-not-found", "--timeout=90s")  # fmt: skip
    gone(home, "vm", "vmi", "pvc", "pv")


def _install(home: Product) -> dict[bytes, str]:
    """By hand: boot, look at the installer's menu, go down a line. What the letters look like, for later."""
    with screen(home, "win2k19reg") as shown:
        shown.learn(60)
        shown.shows("Boot failed: not a bootable disk", 5)
        shown.press(RETURN)
        menu = shown.shows("Debian installer main menu", 180)
        first, second = "Choose language", "Access software for a blind person"
        assert shown.behind(menu, first) != shown.behind(menu, second)
        shown.press(DOWN)
        wait(lambda: shown.behind(shown.look(), second) == shown.behind(menu, first), "the second line is chosen", 20)
        assert shown.behind(shown.look(), first) == shown.behind(menu, second)
        return shown.letters


