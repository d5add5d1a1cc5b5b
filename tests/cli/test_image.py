"""Container disks: made, sent to a registry behind a password, and fetched again."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.acceptance.test_pods import registry

from vmpod.base.errors import Problem
from vmpod.cli import image_
from vmpod.cli.main import cli
from vmpod.testing import guest

pytestmark = pytest.mark.host
NAME = f"localhost/vmpod-made-{os.getpid()}:1"


def run(*words: str | Path, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, ["image", *(str(word) for word in words)], env=env)


def stored() -> set[str]:
    argv = ["podman", "images", "--format", "{{.Repository}}:{{.Tag}}"]
    return set(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split())


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return guest.write_disk(tmp_path / "guest.v1.raw")


@pytest.fixture
def image(disk: Path) -> Iterator[str]:
    """An image in podman's store, made of the disk."""
    before = stored()
    done = run("build-containerdisk", disk, NAME)
    assert done.exit_code == 0, done.output
    assert stored() - before == {NAME}
    yield NAME
    subprocess.run(["podman", "rmi", NAME], check=True, capture_output=True)
    assert stored() == before


def test_an_oci_layout_has_one_file_that_belongs_to_qemu(disk: Path, tmp_path: Path) -> None:
    first, second = (run("build-containerdisk", disk, "x", "--layout", tmp_path / name).output for name in ("a", "b"))
    assert first == second and first.startswith("sha256:")
    index = json.loads((tmp_path / "a/index.json").read_text())
    assert index["manifests"][0]["digest"] == first.strip()
    manifest = json.loads((tmp_path / "a/blobs/sha256" / first.strip().removeprefix("sha256:")).read_text())
    layer = tmp_path / "a/blobs/sha256" / manifest["layers"][0]["digest"].removeprefix("sha256:")
    with tarfile.open(layer) as tar:
        assert [(one.name, one.uid, one.gid, one.mode) for one in tar if one.isreg()] == [("disk/guest.img", 107, 107, 0o440)]
    done = run("pull", f"oci:{tmp_path / 'a'}", tmp_path / "back")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "back").read_bytes() == disk.read_bytes()


def test_there_and_back_through_a_registry(disk: Path, image: str, tmp_path: Path) -> None:
    with registry(tmp_path, 5900 + os.getpid() % 90) as sample:
        remote = sample.rpartition("/")[0] + "/disk:1"
        wrong = run("push", image, remote, "--plain-http", "--creds", "bob:no")
        assert wrong.exit_code == 1 and isinstance(wrong.exception, Problem) and "podman login" in wrong.exception.fix
        sent = run("push", image, remote, "--plain-http", env={"VMPOD_REGISTRY_CREDS": "bob:pw"})
        assert sent.exit_code == 0 and sent.output.startswith("sha256:"), sent.output
        back = run("pull", f"docker://{remote}", tmp_path / "back", "--plain-http", "--creds", "bob:pw")
        assert back.exit_code == 0, back.output
        assert sent.output.strip() in back.output
        subprocess.run(["podman", "rmi", remote], check=True, capture_output=True)
    assert (tmp_path / "back").read_bytes() == disk.read_bytes()


@pytest.mark.parametrize(
    ("name", "said", "digest"),
    [
        ("localhost/a:1", "sha256:1 localhost/a@sha256:1", "sha256:1"),
        ("localhost/a:1", "sha256:1 \n", "sha256:1"),
        ("r:5000/a:1", "sha256:1 localhost/a@sha256:1 r:5000/a@sha256:1 r:5000/a@sha256:2", "sha256:2"),
        ("r:5000/a@sha256:2", "sha256:1 r:5000/b@sha256:3 r:5000/a@sha256:2", "sha256:2"),
        ("a", "", ""),
    ],
)
def test_the_digest_that_a_registry_knows(name: str, said: str, digest: str) -> None:
    assert image_.digest_at(name, said) == digest


@pytest.mark.parametrize("compress", [False, True])
def test_other_formats_become_qcow2(disk: Path, tmp_path: Path, compress: bool) -> None:
    vmdk = tmp_path / "guest.vmdk"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", str(disk), str(vmdk)], check=True)
    done = run("build-containerdisk", vmdk, "x", "--layout", tmp_path / "a", *(["--compress"] if compress else []))
    assert done.exit_code == 0, done.output
    assert run("pull", f"oci:{tmp_path / 'a'}", tmp_path / "back").exit_code == 0
    assert (tmp_path / "back").read_bytes().startswith(b"QFI\xfb")


def test_what_is_no_disk_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello")
    for words, says in ((("build-containerdisk", tmp_path / "x", "n"), "no known format"),
                        (("build-containerdisk", tmp_path / "none", "n"), "No such file"),
                        (("pull", f"oci:{tmp_path}", tmp_path / "y"), "no OCI layout"),
                        (("pull", "oci:x", tmp_path / "x"), "the file exists")):  # fmt: skip
        done = run(*words)
        assert done.exit_code == 1
        assert says in str(done.exception) + done.output
