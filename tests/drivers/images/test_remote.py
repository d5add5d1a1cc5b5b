"""Images past podman's store: of another architecture, of a registry with its own authority, out of an archive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from vmpod.base.errors import Problem
from vmpod.drivers.images import layout, remote, write
from vmpod.drivers.images.remote import Remote
from vmpod.testing import registry
from vmpod.testing.registry import PASSWORD, USER

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image for two architectures, each with its own disk."""
    folder = tmp_path_factory.mktemp("index")
    disks = {one: folder / f"{one}.img" for one in ("amd64", "arm64")}
    for one, path in disks.items():
        path.write_text(f"the disk for {one}")
    registry.write_index(disks, folder / "layout")
    return folder / "layout"


@pytest.fixture(scope="module")
def wanted(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    """The image in a registry that asks for a password."""
    with registry.registry(tmp_path_factory.mktemp("registry")) as (address, authority):
        registry.push(index, f"{address}/disks/two:1")
        yield Remote(f"docker://{address}/disks/two:1", "amd64", USER, PASSWORD, authority)


async def disk_of(wanted: Remote, folder: Path) -> str:
    folder.mkdir()
    found = await remote.fetch(wanted, folder)
    layout.copy_disk(found, folder / "disk")
    assert not list(folder.glob("oci*")), "skopeo's own folder is gone"
    return (folder / "disk").read_text()


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
async def test_of_the_architecture_that_is_asked_for(wanted: Remote, tmp_path: Path, architecture: str) -> None:
    assert await disk_of(replace(wanted, architecture=architecture), tmp_path / "a") == f"the disk for {architecture}"


async def test_the_digest_of_an_index(wanted: Remote, tmp_path: Path) -> None:
    """It is that of all architectures together."""
    told = []
    for architecture in ("amd64", "arm64"):
        (tmp_path / architecture).mkdir()
        told.append(await remote.digest(replace(wanted, architecture=architecture), tmp_path / architecture))
    assert told[0] == told[1] and told[0].startswith("sha256:")
    pinned = wanted.reference.removesuffix(":1") + f"@{told[0]}"
    assert await disk_of(replace(wanted, reference=pinned, architecture="arm64"), tmp_path / "a") == "the disk for arm64"


async def test_a_registry_of_anybody(wanted: Remote, tmp_path: Path) -> None:
    assert await disk_of(replace(wanted, authorities="", unverified=True), tmp_path / "a") == "the disk for amd64"


@pytest.mark.parametrize(("change", "why", "reason"), [
    ({"password": "no"}, "unauthorized|authentication required", "ErrImagePull"),
    ({"username": ""}, "unauthorized|authentication required", "ErrImagePull"),
    ({"authorities": ""}, "x509", "ErrImagePull"),
    ({"authorities": "nothing"}, "certificate", "ErrImagePull"),
    ({"architecture": "s390x"}, "s390x", "ErrImagePull"),
])  # fmt: skip
async def test_what_is_refused(wanted: Remote, tmp_path: Path, change: dict[str, str], why: str, reason: str) -> None:
    with pytest.raises(Problem, match=why) as told:
        await disk_of(replace(wanted, **change), tmp_path / "a")  # type: ignore[arg-type]
    assert told.value.reason == reason and PASSWORD not in told.value.render().split()


async def test_out_of_an_archive(index: Path, tmp_path: Path) -> None:
    registry.push(index, f"oci-archive:{tmp_path}/two.tar:latest")
    archive = Remote(f"oci-archive:{tmp_path}/two.tar", "arm64")
    assert await disk_of(archive, tmp_path / "a") == "the disk for arm64"
    (tmp_path / "two.tar").write_bytes(b"no archive")
    with pytest.raises(Problem, match="pull the image oci-archive"):
        await disk_of(archive, tmp_path / "b")


async def test_an_image_for_one_architecture_only(tmp_path: Path) -> None:
    """It is copied whatever one asks for, and looked at then."""
    (tmp_path / "disk.img").write_text("x")
    write.write(tmp_path / "disk.img", "disk.img", tmp_path / "one")
    registry.push(tmp_path / "one", f"oci-archive:{tmp_path}/one.tar:latest")
    with pytest.raises(Problem, match="it is for amd64, not for arm64") as told:
        await disk_of(Remote(f"oci-archive:{tmp_path}/one.tar", "arm64"), tmp_path / "a")
    assert told.value.reason == "Unsupported"
