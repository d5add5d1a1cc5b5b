"""Memory of a running guest: into a claim, over a kill of the engine, out by an export, and refused in time."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmpod.base.paths import Paths
from vmpod.testing.guest import GREETING

from ..e2e.product import Product, wait
from . import machines
from .machines import claim, echoes, gone, is_shown, machine, tell
from .pods import apply

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", autouse=True)
def images(host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    machines.build_disks(tmp_path_factory.mktemp("images"))
    yield
    machines.remove_images(machines.QUICK, machines.DEAF)


def phase(home: Product, vm: str) -> str:
    return home.value(".status.memoryDumpRequest.phase", "vm", vm)


def files(home: Product, name: str) -> list[Path]:
    return list(Paths(home.home).volume(home.value(".spec.volumeName", "pvc", name)).iterdir())


def test_the_memory_of_a_guest(home: Product, tmp_path: Path) -> None:
    apply(home, machine("db"), claim("small"))
    is_shown(home, "db", "Running", 60)
    echoes(home, "db")
    code, said = tell(home, "db", "memorydump", {"claimName": "small", "phase": ""})
    assert code == 409 and "pvc size [16Mi] should be bigger then [164Mi]" in said
    before = machines.process(home, "db")
    assert ".memory.dump" in home.vmpod("memory-dump", "db", "memory", "--create-claim").stdout
    assert home.read("pvc", "memory")["metadata"]["annotations"]["kubevirt.io/memory-dump"].endswith(".memory.dump")
    echoes(home, "db")

    assert tell(home, "db", "memorydump", {"claimName": "", "phase": ""}) == (202, "")
    wait(lambda: phase(home, "db") in ("InProgress", "Completed"), "it has begun", 20, 0.02)
    home.kill_engine()
    home.vmpod("engine", "start")
    wait(lambda: phase(home, "db") == "Completed", "the next engine sees it through", 60)
    assert machines.process(home, "db") == before
    echoes(home, "db")
    (one,) = files(home, "memory")
    assert one.name == home.value(".status.memoryDumpRequest.fileName", "vm", "db")

    home.vmpod("export", "pvc", "memory", "-o", str(tmp_path / "m.tar.gz"))
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress((tmp_path / "m.tar.gz").read_bytes()))) as packed:
        (inside,) = [member for member in packed.getmembers() if member.isfile()]
        dump = packed.extractfile(inside)
        assert dump is not None
        data = dump.read()
    assert data.startswith(b"\x7fELF") and GREETING in data and len(data) >= 64 << 20

    assert tell(home, "db", "removememorydump") == (202, "")
    wait(lambda: phase(home, "db") == "", "it is let go", 20)
    assert files(home, "memory") == [one]
    home.kubectl("delete", "vm,pvc,vmexport", "--all", "--timeout=60s")
    gone(home, "vm", "vmi", "pvc", "pv", "vmexport")
