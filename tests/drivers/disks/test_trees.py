"""What comes out of a tar archive, and what never does."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.base.errors import Problem
from vmpod.drivers.disks.importer import Job, run
from vmpod.drivers.disks.trees import extract


def entry(name: str, data: bytes = b"", type: bytes = tarfile.REGTYPE, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size, made.mode = type, link, len(data), 0o755 if type == tarfile.DIRTYPE else 0o640
    return made, data


def archive(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as out:
        for info, data in entries:
            out.addfile(info, io.BytesIO(data))
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}


def test_files_and_folders_come_out(tmp_path: Path) -> None:
    made = archive(tmp_path / "a.tar", entry("./", type=tarfile.DIRTYPE), entry("./a", b"one"), entry("b/c/d", b"two"),
                   entry("empty", type=tarfile.DIRTYPE))  # fmt: skip
    assert extract(made, tmp_path / "out", 1000) == 6
    assert files(tmp_path / "out") == {"a": b"one", "b/c/d": b"two"}
    assert (tmp_path / "out" / "empty").is_dir()
    assert (tmp_path / "out" / "a").stat().st_mode & 0o777 == 0o640


REFUSED = (
    (entry("/etc/passwd", b"x"), "leads out of the archive"),
    (entry("../up", b"x"), "leads out of the archive"),
    (entry("a/../../up", b"x"), "leads out of the archive"),
    (entry("link", type=tarfile.SYMTYPE, link="/etc/shadow"), "which is a link"),
    (entry("link", type=tarfile.SYMTYPE, link="near"), "which is a link"),
    (entry("hard", type=tarfile.LNKTYPE, link="/etc/shadow"), "which is a link"),
    (entry("../folder", type=tarfile.DIRTYPE), "leads out of the archive"),
    (entry("pipe", type=tarfile.FIFOTYPE), "neither a file nor a folder"),
    (entry("disk", type=tarfile.BLKTYPE), "neither a file nor a folder"),
    (entry("tty", type=tarfile.CHRTYPE), "neither a file nor a folder"),
    (entry("first", b"again"), "twice"),
    (entry("first/below", b"x"), "twice"),
    (entry("large", bytes(2000)), "more than the claim's 1000 bytes"),
)


@pytest.mark.parametrize(("bad", "why"), REFUSED, ids=[f"{info.name}-{info.type.decode()}" for (info, _), _ in REFUSED])
def test_what_is_refused(bad: tuple[tarfile.TarInfo, bytes], why: str, tmp_path: Path) -> None:
    made = archive(tmp_path / "a.tar", entry("first", b"one"), bad)
    with pytest.raises(Problem, match=why):
        extract(made, tmp_path / "out", 1000)
    assert not (tmp_path / "up").exists()


@given(st.binary(max_size=2000))
def test_noise_harms_nobody(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    folder = tmp_path_factory.mktemp("noise")
    (folder / "a.tar").write_bytes(noise)
    try:
        extract(folder / "a.tar", folder / "out", 1000)
    except Problem:
        pass
    assert {one.name for one in folder.iterdir()} <= {"a.tar", "out"}


@pytest.mark.parametrize("cut", [600, 1024, 1500])
def test_an_archive_that_is_cut_off(cut: int, tmp_path: Path) -> None:
    made = archive(tmp_path / "a.tar", entry("a", bytes(3000)))
    made.write_bytes(made.read_bytes()[:cut])
    with pytest.raises(Problem, match="no tar archive, or damaged"):
        extract(made, tmp_path / "out", 0)


def test_the_whole_of_it_takes_the_place_of_an_empty_folder(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    made = archive(tmp_path / "a.tar", entry("a", b"one"))
    job = Job("file", str(made), str(tmp_path / "bases"), str(tmp_path / "staging"), target=str(volume), limit_bytes=1000)
    assert run(job).sha256 == ""
    assert files(volume) == {"a": b"one"}
    with pytest.raises(Problem, match="holds files already"):
        run(job)
    assert list((tmp_path / "staging").iterdir()) == []
