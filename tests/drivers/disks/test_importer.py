"""Importing: any format becomes a read-only base named by its content, failures leave nothing."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from vmpod.base import proc
from vmpod.base.errors import Problem
from vmpod.drivers.disks import fetch, importer, split, unfinished
from vmpod.drivers.disks.download import Access
from vmpod.drivers.disks.importer import Job
from vmpod.drivers.disks.unfinished import Part

pytestmark = pytest.mark.host
SIZE = 4 << 20


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A raw disk with a boot record and some content."""
    content = bytearray(SIZE)
    content[510:512] = b"\x55\xaa"
    content[1 << 20 : (1 << 20) + 6] = b"orders"
    path = tmp_path / "disk.img"
    path.write_bytes(content)
    return path


def job(tmp_path: Path, source: Path | str, kind: str = "file", **more: Any) -> Job:
    return Job(kind, str(source), str(tmp_path / "bases"), str(tmp_path / "staging"), **more)


def content(tmp_path: Path, sha256: str) -> bytes:
    out = tmp_path / "out.raw"
    base = tmp_path / "bases" / f"{sha256}.qcow2"
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(base), str(out)], check=True)
    return out.read_bytes()


def is_clean(tmp_path: Path) -> bool:
    return not any((tmp_path / "staging").iterdir())


@pytest.mark.parametrize("format", ["raw", "qcow2", "vmdk", "vdi", "vhdx", "vpc"])
def test_every_format_becomes_the_same_disk(tmp_path: Path, raw: Path, format: str) -> None:
    source = tmp_path / f"disk.{format}"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", format, str(raw), str(source)], check=True)
    base = importer.run(job(tmp_path, source))
    path = tmp_path / "bases" / f"{base.sha256}.qcow2"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == base.sha256
    assert path.stat().st_mode & 0o777 == 0o444
    assert content(tmp_path, base.sha256)[:SIZE] == raw.read_bytes()
    assert is_clean(tmp_path)


@pytest.mark.parametrize("program", [["gzip"], ["bzip2"], ["xz", "-0"], ["zstd"]], ids=lambda one: one[0])
@pytest.mark.parametrize("inside", ["raw", "vmdk"])
def test_every_packing_holds_the_same_disk(tmp_path: Path, raw: Path, program: list[str], inside: str) -> None:
    source = tmp_path / f"disk.{inside}"
    options = ["-o", "subformat=streamOptimized"] if inside == "vmdk" else []
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", inside, *options, str(raw), str(source)], check=True)
    packed = tmp_path / "packed"
    packed.write_bytes(zstd.compress(source.read_bytes()) if program == ["zstd"]
                       else subprocess.run([*program, "-c", str(source)], check=True, capture_output=True).stdout)  # fmt: skip
    before = packed.read_bytes()
    assert content(tmp_path, importer.run(job(tmp_path, packed)).sha256)[:SIZE] == raw.read_bytes()
    assert packed.read_bytes() == before, "a file of somebody's stays as it is"
    assert is_clean(tmp_path)


def test_an_upload_becomes_the_base_itself(tmp_path: Path, raw: Path) -> None:
    source = tmp_path / "whole"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(source)], check=True)
    base = importer.run(job(tmp_path, source, ours=True))
    assert (tmp_path / "bases" / f"{base.sha256}.qcow2").samefile(source)
    assert importer.run(job(tmp_path, source, ours=True)) == base, "as after an engine that was killed"
    assert importer.run(job(tmp_path, source, ours=True, sha256=base.sha256)) == base, "as hashed while it came"
    assert is_clean(tmp_path)


@pytest.mark.parametrize("subformat", ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "monolithicFlat"])
def test_a_disk_in_several_files_becomes_one(tmp_path: Path, raw: Path, subformat: str) -> None:
    (tmp_path / "parts").mkdir()
    source = tmp_path / "parts" / "disk.vmdk"
    argv = ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={subformat}", str(raw), str(source)]
    subprocess.run(argv, check=True)
    assert split.descriptor_in(tmp_path / "parts") == source
    base = importer.run(job(tmp_path, source, "split"))
    assert content(tmp_path, base.sha256)[:SIZE] == raw.read_bytes()
    with pytest.raises(Problem, match="refers to another file"):
        importer.run(job(tmp_path, source))
    assert is_clean(tmp_path)


def test_the_source_stays_as_it_is(tmp_path: Path, raw: Path) -> None:
    before = raw.read_bytes()
    importer.run(job(tmp_path, raw))
    assert raw.read_bytes() == before


def test_gzip_is_unpacked(tmp_path: Path, raw: Path) -> None:
    packed = tmp_path / "disk.img.gz"
    packed.write_bytes(gzip.compress(raw.read_bytes()))
    assert content(tmp_path, importer.run(job(tmp_path, packed)).sha256) == raw.read_bytes()


@pytest.mark.parametrize("kept", [0.3, 0.7])
def test_a_truncated_qcow2_is_refused(tmp_path: Path, raw: Path, kept: float) -> None:
    source = tmp_path / "disk.qcow2"
    raw.write_bytes(b"".join(hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(SIZE // 32)))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(source)], check=True)
    whole = source.read_bytes()
    source.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(Problem, match="truncated or damaged"):
        importer.run(job(tmp_path, source))
    assert is_clean(tmp_path)
    assert not (tmp_path / "bases").exists() or not any((tmp_path / "bases").iterdir())


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no such file"):
        importer.run(job(tmp_path, tmp_path / "nothing.qcow2"))


asked: list[tuple[int, str | None]] = []  # where the server was to begin, and of which version


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            return

        def do_GET(self) -> None:
            if self.path.startswith("/private/"):
                if self.headers.get("Authorization") != "Basic dTpw":
                    self.send_error(401)
                    return
                self.path = self.path.removeprefix("/private")
            if self.path.startswith("/headers/"):
                if (self.headers.get("X-One"), self.headers.get("X-Two")) != ("1", "a: b"):
                    self.send_error(403)
                    return
                self.path = self.path.removeprefix("/headers")
            if self.path.startswith("/whole/"):
                if self.headers.get("Range"):
                    asked.append((1, self.headers.get("If-Range")))
                    self.send_error(416)
                    return
                self.path = self.path.removeprefix("/whole")
            if self.path.startswith("/breaks/"):
                self._break_off()
                return
            if self.path.startswith("/away"):
                self.send_response(302)
                self.send_header("Location", "ftp://127.0.0.1/disk.img")
                self.end_headers()
                return
            if self.path.startswith("/cut"):
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"half")
                return
            super().do_GET()

        def _break_off(self) -> None:
            """A part of what is asked for, and no more; at "changes" another version each time."""
            data = (tmp_path / self.path.rpartition("/")[2]).read_bytes()
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
            tag = f'"{len(asked)}"' if "changes" in self.path and len(asked) < 2 else '"same"'
            asked.append((start, self.headers.get("If-Range")))
            start = start if self.headers.get("If-Range") == tag else 0
            self.send_response(206 if start else 200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("ETag", tag)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            self.wfile.write(data[start : start + (3 << 19)])

    asked.clear()
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_address[1]}"
    served.shutdown()
    served.server_close()
    thread.join()


def test_over_http_with_its_checksum(tmp_path: Path, raw: Path, server: str) -> None:
    digest = hashlib.sha256(raw.read_bytes()).hexdigest()
    for said in (f"sha256:{digest}", f"SHA256: {digest.upper()}"):
        base = importer.run(job(tmp_path, f"{server}/{raw.name}", "http", checksum=said))
        assert content(tmp_path, base.sha256) == raw.read_bytes()


def test_a_wrong_checksum_is_final(tmp_path: Path, raw: Path, server: str) -> None:
    with pytest.raises(Problem, match="its sha256 is") as told:
        importer.run(job(tmp_path, f"{server}/{raw.name}", "http", checksum="sha256:" + "0" * 64))
    assert told.value.reason == "Checksum"
    assert is_clean(tmp_path)


def test_http_errors_are_told(tmp_path: Path, server: str) -> None:
    with pytest.raises(Problem, match="answered 404"):
        importer.run(job(tmp_path, f"{server}/nothing", "http"))
    with pytest.raises(Problem, match="only http and https"):
        importer.run(job(tmp_path, "file:///etc/passwd", "http"))


def test_a_source_that_asks_who_we_are(tmp_path: Path, raw: Path, server: str) -> None:
    wanted = job(tmp_path, f"{server}/private/{raw.name}", "http")
    assert importer.run(wanted, Access("u", "p")).virtual_bytes == SIZE
    with pytest.raises(Problem, match="answered 401"):
        importer.run(wanted)


def test_a_source_that_wants_headers(tmp_path: Path, raw: Path, server: str) -> None:
    wanted = job(tmp_path, f"{server}/headers/{raw.name}", "http")
    assert importer.run(wanted, Access(headers=("X-One: 1",), secret_headers=("X-Two: a: b",))).virtual_bytes == SIZE
    with pytest.raises(Problem, match="answered 403"):
        importer.run(wanted, Access(headers=("X-One: 1",)))
    for bad in ("nothing", ": x", "X-One: a\r\nX-Two: b"):
        with pytest.raises(Problem) as told:
            importer.run(wanted, Access(headers=(bad,)))
        assert told.value.reason == "Unsupported"


@pytest.mark.parametrize("how", ["breaks", "breaks/changes"])
def test_a_broken_download_goes_on_in_the_middle(tmp_path: Path, raw: Path, server: str, how: str) -> None:
    """What has changed meanwhile begins anew."""
    digest = hashlib.sha256(raw.read_bytes()).hexdigest()
    base = importer.run(job(tmp_path, f"{server}/{how}/{raw.name}", "http", checksum=f"sha256:{digest}"))
    assert content(tmp_path, base.sha256) == raw.read_bytes()


@pytest.mark.parametrize(("left", "url", "boot", "asked_for"), [
    (1 << 20, "", "", 1 << 20), (SIZE, "", "", None), (SIZE + 1, "", "", 0), (0, "", "", 0),
    (1 << 20, "http://other/x", "", 0), (1 << 20, "", "an earlier one", 0),
])  # fmt: skip
def test_what_an_earlier_importer_left_is_gone_on_with(
    tmp_path: Path, raw: Path, server: str, left: int, url: str, boot: str, asked_for: int | None
) -> None:
    """Unless it is of something else, or was written before this machine started."""
    kept, source = tmp_path / "staging" / "download-1", f"{server}/breaks/{raw.name}"
    kept.mkdir(parents=True)
    (kept / "download").write_bytes((raw.read_bytes() + b"x")[:left])
    unfinished.note(kept, Part(url or source, SIZE, '"same"'))
    if boot:
        said = json.loads((kept / "download.json").read_text())
        (kept / "download.json").write_text(json.dumps(said | {"boot": boot}))
    digest = hashlib.sha256(raw.read_bytes()).hexdigest()
    base = importer.run(job(tmp_path, source, "http", checksum=f"sha256:{digest}", kept=str(kept)))
    assert content(tmp_path, base.sha256) == raw.read_bytes() and is_clean(tmp_path)
    assert (asked[0][0] if asked else None) == asked_for


@pytest.mark.parametrize("left", [0, 70_000])
@pytest.mark.parametrize("algorithm", ["", "md5", "sha256"])
def test_a_qcow2_is_named_by_what_came(tmp_path: Path, raw: Path, server: str, algorithm: str, left: int) -> None:
    """Whether it was hashed on the way or afterwards, in one go or in two."""
    image, kept = raw.with_suffix(".qcow2"), tmp_path / "staging" / "download-1"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image)], check=True)
    source, whole = f"{server}/breaks/{image.name}", image.read_bytes()
    if left:
        kept.mkdir(parents=True)
        (kept / "download").write_bytes(whole[:left])
        unfinished.note(kept, Part(source, len(whole), '"same"'))
    checksum = f"{algorithm}:{hashlib.new(algorithm, whole).hexdigest()}" if algorithm else ""
    base = importer.run(job(tmp_path, source, "http", checksum=checksum, kept=str(kept)))
    assert base.sha256 == hashlib.sha256(whole).hexdigest() and is_clean(tmp_path)
    assert (tmp_path / "bases" / f"{base.sha256}.qcow2").read_bytes() == whole


def test_a_server_that_has_no_such_rest_is_asked_for_all(tmp_path: Path, raw: Path, server: str) -> None:
    kept, source = tmp_path / "staging" / "download-1", f"{server}/whole/{raw.name}"
    kept.mkdir(parents=True)
    (kept / "download").write_bytes(b"part")
    unfinished.note(kept, Part(source, SIZE, '"old"'))
    base = importer.run(job(tmp_path, source, "http", kept=str(kept)))
    assert content(tmp_path, base.sha256) == raw.read_bytes() and asked == [(1, '"old"')]


def test_a_download_is_kept_only_while_it_can_be_gone_on_with(tmp_path: Path, raw: Path, server: str) -> None:
    kept = tmp_path / "staging" / "download-1"
    with pytest.raises(Problem, match="it ended after 4 of"):
        importer.run(job(tmp_path, f"{server}/cut", "http", kept=str(kept)))
    assert not kept.exists()
    with pytest.raises(Problem, match="its sha256 is"):
        importer.run(job(tmp_path, f"{server}/breaks/{raw.name}", "http", checksum="sha256:" + "0" * 64, kept=str(kept)))
    assert not kept.exists()
    kept.mkdir(parents=True)
    (kept / "download").write_bytes(b"part")
    unfinished.note(kept, Part(f"{server}/none", SIZE, '"same"'))
    with pytest.raises(Problem, match="answered 404") as told:
        importer.run(job(tmp_path, f"{server}/none", "http", kept=str(kept)))
    assert told.value.reason == "Http" and (kept / "download").stat().st_size == 4


@pytest.mark.parametrize(("path", "why", "reason"), [
    ("cut", "it ended after 4 of 1000 bytes", "Http"),  # tried again: the network may be better then
    ("away", "ftp", "Http"),
])  # fmt: skip
def test_what_goes_wrong_on_the_way(tmp_path: Path, server: str, path: str, why: str, reason: str) -> None:
    with pytest.raises(Problem, match=why) as told:
        importer.run(job(tmp_path, f"{server}/{path}", "http"))
    assert told.value.reason == reason and is_clean(tmp_path)


@pytest.mark.parametrize("checksum", ["crc7:12", "0123", "sha256:"])
def test_a_checksum_that_is_none(tmp_path: Path, raw: Path, server: str, checksum: str) -> None:
    with pytest.raises(Problem, match="does not begin with one of md5:") as told:
        importer.run(job(tmp_path, f"{server}/{raw.name}", "http", checksum=checksum))
    assert told.value.reason == "Checksum"


def test_a_problem_calls_the_source_by_its_name(tmp_path: Path, server: str) -> None:
    (tmp_path / "text").write_text("no image\n")
    with pytest.raises(Problem) as told:
        importer.run(job(tmp_path, f"{server}/text", "http", name=f"{server}/text"))
    assert told.value.what == f"use the image {server}/text" and "staging" not in told.value.render()


def test_an_image_that_would_fill_the_disk_is_refused_before(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="are free on the disk") as told:
        fetch.check_room("import x", tmp_path, 1 << 60)
    assert told.value.reason == "NoSpace"


def test_a_disk_that_is_full_is_told_and_nothing_is_left(tmp_path: Path, raw: Path) -> None:
    """Without a length nobody can know before: the compressed image is small, what it holds is not."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a small file system")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=True)
    try:
        packed = tmp_path / "disk.img.gz"
        packed.write_bytes(gzip.compress(raw.read_bytes()[: 1 << 20] + os.urandom(SIZE)))
        wanted = Job("file", str(packed), str(small / "bases"), str(small / "staging"))
        with pytest.raises(Problem, match="no space is left") as told:
            importer.run(wanted)
        assert told.value.reason == "NoSpace"
        assert not list((small / "staging").iterdir()) and not (small / "bases").exists()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_the_process_ends_and_cleans_up_with_its_parent(tmp_path: Path) -> None:
    """As when the engine is killed: the importer that waits for a silent server does not go on."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wanted = job(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}/x", "http")
        parent = (
            "import os, subprocess, sys, time\n"
            "child = subprocess.Popen([sys.executable, '-m', 'vmpod.drivers.disks.importer', sys.argv[1], str(os.getpid())],"
            " stdin=subprocess.DEVNULL)\n"
            "print(child.pid, flush=True)\n"
            "time.sleep(60)\n"
        )
        with subprocess.Popen([sys.executable, "-c", parent, json.dumps(wanted.__dict__)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            child = int(process.stdout.readline())
            started = proc.start_time(child)
            silent.settimeout(30)
            connection, _ = silent.accept()
            assert not is_clean(tmp_path) and started is not None
            process.kill()
        with connection:
            deadline = time.monotonic() + 60
            while proc.is_alive(proc.Daemon(child, started)) and time.monotonic() < deadline:
                time.sleep(0.05)
    assert not proc.is_alive(proc.Daemon(child, started)) and is_clean(tmp_path)


def test_the_process_says_its_result_or_its_problem(tmp_path: Path, raw: Path) -> None:
    def run(source: Path) -> tuple[int, dict[str, object]]:
        said = json.dumps(job(tmp_path, source).__dict__)
        done = subprocess.run([sys.executable, "-m", "vmpod.drivers.disks.importer", said], capture_output=True, check=False)
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    code, last = run(raw)
    assert code == 0 and last["virtual_bytes"] == SIZE
    code, last = run(tmp_path / "nothing")
    assert code == 1 and "no such file" in str(last["problem"])
