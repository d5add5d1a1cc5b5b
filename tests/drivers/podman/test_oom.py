"""Out of memory, by the kernel's log."""

from __future__ import annotations

from pathlib import Path

from vmpod.drivers.podman import oom

RECORD = "4,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/libpod_parent/libpod-{id},task=python3,pid=7\n"


def test_a_record_names_the_container(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    log.write_text(RECORD.format(id="a" * 64))
    assert oom.was_killed("a" * 64, str(log))
    assert not oom.was_killed("b" * 64, str(log))


def test_without_a_log_nothing_is_known(tmp_path: Path) -> None:
    assert not oom.was_killed("c" * 64, str(tmp_path / "missing"))
