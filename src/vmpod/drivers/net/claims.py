"""What all homes of one machine share: who claimed which block, written under one lock.

A claim is a small file that names the home's own record; a claim whose record is gone is dropped.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
from pathlib import Path


@dataclass(frozen=True)
class Claim:
    """One home's hold on a block of addresses; `record` is the file whose existence keeps the claim alive."""

    home_id: str
    block: str
    record: str

    @property
    def network(self) -> IPv4Network:
        return IPv4Network(self.block)


def folder() -> Path:
    """Where claims lie: below /run for root, in the user's own runtime folder otherwise."""
    if os.geteuid() == 0:
        return Path("/run/vmpod")
    return Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/vmpod-{os.geteuid()}") / "vmpod"


class Claims:
    """The claims of this machine. Hold `locked()` around reading and writing."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = root / "claims"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone on this machine; the time inside must be short, for it blocks other engines."""
        self._files.mkdir(mode=0o755, parents=True, exist_ok=True)
        with (self._root / "ranges.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def living(self) -> list[Claim]:
        """All claims whose home still exists; the others are deleted."""
        claims = []
        for path in sorted(self._files.glob("*.json")):
            claim = _read(path)
            if claim is None or not Path(claim.record).exists():
                path.unlink(missing_ok=True)
            else:
                claims.append(claim)
        return claims

    def write(self, claim: Claim) -> None:
        """Add or renew a claim. The record it names must exist by the time the lock is given up."""
        path = self._files / f"{claim.home_id}.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(claim)))
        fresh.replace(path)

    def drop(self, home_id: str) -> None:
        """Give a claim up; nothing when there is none."""
        (self._files / f"{home_id}.json").unlink(missing_ok=True)


def _read(path: Path) -> Claim | None:
    try:
        return Claim(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
