#!/usr/bin/env python3
"""The leak sweep: everything of one home that is on this machine, found without asking the product.

    tests/sweep.py [HOME]     list it, one line each; exit code 1 when there is anything

Other tests import `sweep`. Only the home's id is taken from the product; processes are found in /proc,
containers by their label, and the rest where the kernel keeps it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from vmpod.base.paths import Paths

_NETNS = Path("/run/netns")
_SHARED = Path("/run/vmpod")


def sweep(home: Path) -> list[str]:
    """One line for each thing of this home: process, container, namespace, device, table, mount, file, claim."""
    home = home.resolve()
    id = Paths(home).id
    return [
        *processes(home), *containers(id), *namespaces(id), *devices(id), *tables(id), *mounts(home), *files(home, id)
    ]  # fmt: skip


def settled(home: Path, patience_s: float = 20) -> list[str]:
    """What is still there after a short while in which the kernel may finish what was ended."""
    deadline = time.monotonic() + patience_s
    while (found := sweep(home)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def workload(home: Path) -> list[str]:
    """What a home without pods does not have: containers, namespaces, pods' devices, pods' folders."""
    id = Paths(home).id
    ours = {f"device vp-{id}", f"device vs-{id}"}
    folders = [f"pod folder {path.name}" for path in sorted((home / "pods").glob("*"))]
    return [*containers(id), *namespaces(id), *(one for one in devices(id) if one not in ours), *folders]


def processes(home: Path) -> Iterator[str]:
    """Those that name the home in their arguments or environment, run in its namespaces, or mount from it."""
    spaces = {path.stat().st_ino for path in _NETNS.glob(f"vmpod-{Paths(home).id}-*")}
    mine = {os.getpid(), *_ancestors()}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in mine and _is_of(entry, home, spaces):
            yield f"process {entry.name}: {_read(entry / 'cmdline').replace(chr(0), ' ').strip()[:120]}"


def _is_of(entry: Path, home: Path, spaces: set[int]) -> bool:
    words = (_read(entry / "cmdline") + "\0" + _read(entry / "environ")).split("\0")
    if any(_names(word, home) for word in words):
        return True
    try:
        return (entry / "ns/net").stat().st_ino in spaces or _mounts_from(entry, home)
    except OSError:  # it ended, or is a kernel thread
        return False


def _names(word: str, home: Path) -> bool:
    """Whether a word of a command line or environment is the home or something in it."""
    before, found, after = word.partition(str(home))
    return bool(found) and after[:1] in ("", "/", ":", ",", '"') and (before == "" or before[-1] in "=:,\"' ")


def _mounts_from(entry: Path, home: Path) -> bool:
    """Whether another mount namespace holds folders of the home (proc(5): field 4 is the path in its file system)."""
    if (entry / "ns/mnt").stat().st_ino == Path("/proc/self/ns/mnt").stat().st_ino:
        return False
    return any(f" {home}/" in line for line in _read(entry / "mountinfo").splitlines())


def _ancestors() -> Iterator[int]:
    """The parents of this process: shells and test runners may carry VMPOD_HOME."""
    pid = os.getppid()
    while pid > 1:
        yield pid
        pid = int(_read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()[1])


def containers(id: str) -> list[str]:
    argv = ["podman", "ps", "--all", "--filter", f"label=io.vmpod={id}", "--format", "{{.ID}} {{.Names}}"]
    return [f"container {line}" for line in _lines(argv)]


def namespaces(id: str) -> list[str]:
    return [f"netns {path.name}" for path in sorted(_NETNS.glob(f"vmpod-{id}-*"))]


def devices(id: str) -> list[str]:
    there = sorted(path.name for path in Path("/sys/class/net").iterdir())
    return [f"device {name}" for name in there if name.startswith((f"vp-{id}", f"vs-{id}", f"v{id}"))]


def tables(id: str) -> list[str]:
    return [f"nftables {line}" for line in _lines(["nft", "list", "tables"]) if f"_{id}" in line]


def mounts(home: Path) -> list[str]:
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [f"mount {point}" for point in points if Path(point).is_relative_to(home)]


def files(home: Path, id: str) -> list[str]:
    there = [home, _SHARED / id, _SHARED / "claims" / f"{id}.json"]
    return [f"file {path}" for path in there if path.exists()]


def _lines(argv: list[str]) -> list[str]:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:  # without the program there is nothing that it could have made
        return []
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return [line for line in done.stdout.splitlines() if line.strip()]


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    left = sweep(Path(sys.argv[1]) if len(sys.argv) > 1 else Paths.of().home)
    print("\n".join(left) if left else "sweep: nothing is left")
    sys.exit(bool(left))
