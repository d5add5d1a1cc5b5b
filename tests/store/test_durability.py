"""What was acknowledged is there after the process was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from vmpod.store import Store

_CHILD = """
import asyncio, sys
from vmpod.store import Store

async def write(store, worker):
    for number in range(100000):
        name = f"{sys.argv[2]}-{worker}-{number}"
        record = await store.create("configmaps", "d", name, {"metadata": {"name": name}, "data": "x" * 500})
        print(record.revision, name, flush=True)

async def main():
    store = Store.open(sys.argv[1])
    await asyncio.gather(*(write(store, worker) for worker in range(4)))

asyncio.run(main())
"""
_LINES = 300


async def test_acknowledged_writes_survive_kill_9(path: Path) -> None:
    newest = 0
    for turn in range(2):
        told = _kill_while_writing(path, f"turn{turn}")
        store = Store.open(path)
        stored = {record.revision: record.name for record in store.list("configmaps")[0]}
        assert told.items() <= stored.items()
        assert store.revision >= max(told)
        assert min(told) > newest, "revisions go on growing"
        subscription = store.watch("configmaps", since=newest)
        first = await anext(subscription)
        assert first.revision == newest + 1
        fresh = await store.create("configmaps", "d", f"after-{newest}", {"metadata": {}})
        newest = fresh.revision
        await store.close()


def _kill_while_writing(path: Path, prefix: str) -> dict[int, str]:
    """Let a process write, kill it in the middle; what it had acknowledged."""
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(path), prefix], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(_LINES)]
    os.kill(child.pid, signal.SIGKILL)
    lines += child.stdout.read().splitlines(keepends=True)
    child.stdout.close()
    child.wait()
    told = [line.split() for line in lines if line.endswith("\n")]
    return {int(revision): name for revision, name in told}
