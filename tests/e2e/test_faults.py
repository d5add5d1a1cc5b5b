"""Bad input gets a clear answer: "cannot …: cause" and what to do, a non-zero exit code, nothing half-made."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmpod.base.paths import Paths

from ..conftest import Kubectl
from ..sweep import workload
from .conftest import product
from .product import Done, Product, wait

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]

GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: good\n---\n"
MACHINE = """apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: huge}
spec:
  runStrategy: Always
  template:
    spec:
      domain:
        memory: {guest: 64Ti}
        devices: {}
"""
POD = """apiVersion: v1
kind: Pod
metadata: {name: nowhere}
spec:
  containers: [{name: c, image: "127.0.0.1:9/team/tool:1"}]
"""


def refused(done: Done, *words: str) -> str:
    """It failed with words for people, and all of these among them; returns what it said."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "cannot " in done.stderr and "Traceback" not in done.stderr, done.stderr
    for text in words:
        assert text in done.stderr, f"{text!r} is not in:\n{done.stderr}"
    return done.stderr


@pytest.mark.parametrize("text, words", [
    ("kind: ConfigMap\nmetadata: {name: bad\n", ("bad.yaml, line",)),
    ("apiVersion: example.com/v1\nkind: Spaceship\nmetadata: {name: bad}\n", ("bad.yaml:6", "Spaceship")),
    ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndatum: {}\n", ("bad.yaml:6", 'unknown field "datum"')),
    (MACHINE.replace("devices: {}", "devices: {disks: [{name: nowhere, disk: {}}]}"),
     ("bad.yaml:6", "spec.template.spec.domain.devices.disks[0].name")),
])  # fmt: skip
def test_a_bad_manifest_is_refused_whole(home: Product, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    """Nothing of the file is written, its good parts neither."""
    (tmp_path / "bad.yaml").write_text(GOOD + text)
    refused(home.vmpod("up", str(tmp_path / "bad.yaml"), check=False), *words)
    assert home.kubectl("get", "configmap", "good", check=False).returncode == 1


def test_a_missing_manifest_is_named(home: Product, tmp_path: Path) -> None:
    refused(home.vmpod("up", str(tmp_path / "none.yaml"), check=False), "none.yaml: No such file")


def test_an_image_that_cannot_be_pulled(home: Product, tmp_path: Path) -> None:
    """ErrImagePull, then ImagePullBackOff; why is in `describe` and in what `up` says."""
    (tmp_path / "pod.yaml").write_text(POD)
    said = home.vmpod("up", str(tmp_path / "pod.yaml"), "--timeout", "12", check=False)
    refused(said, "ImagePull", "connection refused", "kubectl describe pod/nowhere")
    wait(lambda: "ImagePullBackOff" in home.kubectl("get", "pod", "nowhere").stdout, "it backs off", 30)
    told = home.kubectl("describe", "pod", "nowhere").stdout
    assert "ErrImagePull" in told and "127.0.0.1:9" in told and "connection refused" in told
    home.vmpod("down", str(tmp_path / "pod.yaml"))


def test_no_memory_for_the_machine(home: Product, tmp_path: Path) -> None:
    (tmp_path / "vm.yaml").write_text(MACHINE)
    said = home.vmpod("up", str(tmp_path / "vm.yaml"), "--timeout", "4", check=False)
    refused(said, "ErrorUnschedulable", "Insufficient memory")
    home.vmpod("down", str(tmp_path / "vm.yaml"))
    wait(lambda: not workload(home.home), "nothing is left", 10)


# --- disk images -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def disk(host: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A qcow2 image of 24 MB that no program can compress away."""
    folder = tmp_path_factory.mktemp("disk")
    (folder / "raw").write_bytes(b"\0" * 510 + b"\x55\xaa" + os.urandom(24 << 20))
    convert(folder / "raw", folder / "disk.qcow2")
    return folder / "disk.qcow2"


def convert(source: Path, target: Path) -> None:
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", source, target], check=True, timeout=60)


def create(path: Path, *options: str) -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, path, "1M"], check=True, timeout=60)
    return path


def images(disk: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    """Bad images, and what is said about each."""
    yield folder / "missing.qcow2", "No such file"
    (folder / "cut.qcow2").write_bytes(disk.read_bytes()[:-3_000_000])
    yield folder / "cut.qcow2", "truncated"
    (folder / "noise.img").write_bytes(os.urandom(100_000))
    yield folder / "noise.img", "no known format"
    (folder / "empty.img").touch()
    yield folder / "empty.img", "empty"
    yield create(folder / "backed.qcow2", "-u", "-b", "/etc/passwd", "-F", "raw"), "another file (/etc/passwd)"
    yield create(folder / "split.qcow2", "-o", f"data_file={folder}/data.raw,data_file_raw=on"), "another file"


def test_a_bad_image_is_refused_and_nothing_stays(home: Product, disk: Path, tmp_path: Path) -> None:
    for image, why in images(disk, tmp_path):
        said = home.vmpod("import", str(image), "--name", "bad", "--output-dir", str(tmp_path / "out"), check=False)
        refused(said, why)
        assert not list((tmp_path / "out").glob("*")), image
    assert home.kubectl("get", "pvc,pv").stdout == ""
    wait(lambda: not stored(home.home), "no part of an image is kept", 10)


def stored(home: Path) -> list[Path]:
    return [path for folder in ("bases", "volumes", "staging") for path in (home / "disks" / folder).iterdir()]


def test_a_full_disk_is_told_and_survived(host: None, disk: Path, kubectl: Kubectl, tmp_path: Path) -> None:
    """The home lies on a small file system of its own; once that has grown, the same command works."""
    full = Path(tempfile.mkdtemp(prefix="vmpod-full-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "vmpod-test", full], check=True)
    try:
        with product(kubectl, full / "home") as home:
            command = ("import", str(disk), "--name", "big", "--output-dir", str(tmp_path))
            refused(home.vmpod(*command, check=False), f"are free on the disk of {full}", f"df -h {full}\n")
            assert not stored(home.home) and not (tmp_path / "big.yaml").exists()
            subprocess.run(["mount", "-o", "remount,size=200m", full], check=True)
            home.vmpod(*command)
            assert (tmp_path / "big.yaml").exists()
            assert home.value(".status.phase", "pvc", "big") == "Bound"
    finally:
        subprocess.run(["umount", full], check=True)
        full.rmdir()


# --- the engine itself -------------------------------------------------------------------------------------


@pytest.fixture
def fresh(host: None, kubectl: Kubectl) -> Iterator[Product]:
    """A home that no engine has run in."""
    home = Path(tempfile.mkdtemp(prefix="vmpod-e2e-"))
    made = Product(home, kubectl.program)
    yield made
    made.vmpod("engine", "stop", "--purge")
    assert not home.exists()


def test_a_taken_port_is_named(fresh: Product) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = fresh.vmpod("engine", "start", "--port", str(port), check=False)
        refused(said, f"port {port} of 127.0.0.1 is taken", "vmpod engine start --port 0")
    assert fresh.engine is None
    fresh.vmpod("engine", "start", "--port", "0")


@pytest.mark.parametrize("tool", ["podman", "nft"])
def test_a_missing_program_is_named_with_the_command_that_brings_it(fresh: Product, tmp_path: Path, tool: str) -> None:
    said = fresh.vmpod("engine", "start", check=False, PATH=without(tool, tmp_path))
    refused(said, tool, "install")
    assert fresh.engine is None
    doctor = fresh.vmpod("doctor", check=False, PATH=without(tool, tmp_path))
    assert doctor.returncode == 1 and "install -y" in doctor.stdout


def without(tool: str, folder: Path) -> str:
    """A PATH of links to all programs but one."""
    links = folder / f"without-{tool}"
    if not links.exists():
        links.mkdir()
        for place in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
            for program in Path(place).iterdir():
                if program.name != tool and not (links / program.name).is_symlink():
                    (links / program.name).symlink_to(program)
    assert shutil.which(tool, path=str(links)) is None
    return str(links)


def test_a_home_of_another_user_or_a_file_is_refused(host: None, kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    refused(Product(tmp_path / "file", kubectl.program).vmpod("engine", "start", check=False), str(tmp_path / "file"))
    assert not Paths(tmp_path / "file").engine_pid.exists()
