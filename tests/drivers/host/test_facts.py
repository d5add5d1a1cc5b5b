"""What is measured, and that the slow part is measured once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from vmpod.base.paths import Paths
from vmpod.drivers.host import accelerator, facts, oci


async def test_slow_part_is_probed_once_per_boot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    async def guest() -> accelerator.Verdict:
        asked.append("guest")
        return accelerator.Verdict("kvm", "a probe guest ran")

    async def container() -> oci.Choice:
        asked.append("container")
        return oci.Choice("crun", "")

    monkeypatch.setattr(accelerator, "probe", guest)
    monkeypatch.setattr(oci, "probe", container)
    paths = Paths(tmp_path)
    _keep_in(monkeypatch, tmp_path / "run")
    first, second = await facts.probe(paths), await facts.probe(paths)
    assert first.has_kvm
    assert first == second
    assert sorted(asked) == ["container", "guest"]
    (paths.run / "host.json").write_text("{}")
    assert (await facts.probe(paths)).oci_runtime == "crun"
    assert len(asked) == 4


async def test_containers_need_not_wait_for_the_accelerator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hang, ended = asyncio.Event(), asyncio.Event()

    async def guest() -> accelerator.Verdict:
        await hang.wait()
        ended.set()
        return accelerator.Verdict("kvm", "a probe guest ran")

    async def container() -> oci.Choice:
        return oci.Choice("crun", "")

    monkeypatch.setattr(accelerator, "probe", guest)
    monkeypatch.setattr(oci, "probe", container)
    _keep_in(monkeypatch, tmp_path / "run")
    trials = facts.Trials(Paths(tmp_path))
    early = await trials.programs()
    assert early.oci_runtime == "crun"
    assert not early.has_kvm
    assert not ended.is_set()
    hang.set()
    assert (await trials.all()).has_kvm
    await trials.stop()


def _keep_in(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(Paths, "run", folder)
    monkeypatch.setattr(facts, "_SHARED", folder)


def test_quick_facts_are_those_of_this_machine() -> None:
    found = facts.quick()
    assert found.memory_bytes > 1 << 28
    assert found.cpus >= 1
    assert found.kernel
    assert found.boot_id.count("-") == 4
    assert 0 < facts.memory_to_give() <= found.memory_bytes + facts.memory("SwapTotal")
    assert facts.memory("NoSuchLine") == 0


@pytest.mark.host
async def test_runtime_is_found_by_running_a_container() -> None:
    chosen = await oci.probe()
    assert chosen.runtime in oci.CANDIDATES, chosen.reason


def test_promised_huge_pages_are_not_given_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(facts, "huge_pages_folder", lambda size: tmp_path / str(size))
    assert facts.huge_pages_to_give(2 << 20) == 0
    (tmp_path / str(2 << 20)).mkdir()
    for name, count in (("free_hugepages", 37), ("resv_hugepages", 29)):
        (tmp_path / str(2 << 20) / name).write_text(f"{count}\n")
    assert facts.huge_pages_to_give(2 << 20) == 8
