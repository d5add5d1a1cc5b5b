"""Pods on the network of a home: attach, adopt, detach, remove."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from tests.drivers.net.conftest import OpenHome, Serve, fetch, is_running, kill, shell

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.drivers.net.network import Forward, MachineNic, Network, Snapshot

pytestmark = pytest.mark.host


async def test_attach_is_idempotent_and_survives_the_engine(open_home: OpenHome) -> None:
    network = await open_home()
    first = await network.attach("a")
    assert await network.attach("a") == first
    adopted = await open_home()
    assert adopted.attachments() == [first] and await adopted.attach("a") == first
    assert adopted.config == network.config


async def test_pods_attached_at_once_get_different_addresses(open_home: OpenHome) -> None:
    network = await open_home()
    found = await asyncio.gather(*(network.attach(f"pod-{i}") for i in range(6)))
    assert len({a.ip for a in found}) == len({a.netns for a in found}) == 6
    assert len({a.mac for a in found}) == len({a.device for a in found}) == 6
    same = await asyncio.gather(network.attach("twice"), network.attach("twice"))
    assert same[0] == same[1]


async def test_a_freed_address_rests_before_it_is_given_again(open_home: OpenHome) -> None:
    network = await open_home()
    first = await network.attach("a")
    await network.detach("a")
    await network.detach("a")
    assert not Path(first.netns_path).exists() and network.attachments() == []
    assert (await network.attach("b")).ip != first.ip


async def test_a_lost_namespace_is_made_anew_with_the_same_address(open_home: OpenHome) -> None:
    network = await open_home()
    before = await network.attach("a", machine=MachineNic())
    shell("ip", "netns", "del", before.netns)
    shell("ip", "link", "del", before.device)
    after = await (await open_home()).attach("a", machine=MachineNic())
    assert after == before and Path(after.netns_path).exists()
    assert "tap0" in shell("ip", "link", pod=after).stdout


async def test_a_half_made_namespace_is_made_anew(open_home: OpenHome) -> None:
    network = await open_home()
    before = await network.attach("a")
    shell("ip", "link", "set", "eth0", "down", pod=before)
    record = next((network._folder / "attachments").glob("*.json"))
    record.write_text(json.dumps(json.loads(record.read_text()) | {"ready": False}))
    again = await open_home()
    assert await again.attach("a") == before
    assert "state UP" in shell("ip", "link", "show", "eth0", pod=before).stdout


async def test_the_kernel_settings_of_a_pod(open_home: OpenHome) -> None:
    network = await open_home()
    pod, vm = await network.attach("pod"), await network.attach("vm", machine=MachineNic())
    read = ("sh", "-c", "cd /proc/sys/net/ipv4; cat ip_unprivileged_port_start ping_group_range conf/all/route_localnet")
    assert shell(*read, pod=pod).stdout.split() == ["0", "0", "2147483647", "0"]
    assert shell(*read, pod=vm).stdout.split() == ["0", "0", "2147483647", "1"]
    assert shell("cat", "/proc/sys/net/ipv4/ip_forward", pod=vm).stdout.strip() == "1"
    assert "inet6 fe80" not in shell("ip", "addr", pod=pod).stdout


async def test_pods_reach_each_other_and_the_host(open_home: OpenHome, serve: Serve) -> None:
    network = await open_home()
    one, two = await network.attach("one"), await network.attach("two")
    await serve("one", 80, one)
    await serve("host", 8099, address=network.config.gateway)
    assert fetch(one.ip) == (0, "one") and fetch(one.ip, two) == (0, "one") and fetch(one.ip, one) == (0, "one")
    assert fetch(f"{network.config.gateway}:8099", two) == (0, "host")


async def test_a_bad_card_changes_nothing(open_home: OpenHome) -> None:
    network = await open_home()
    for nic in (MachineNic(binding="sriov"), MachineNic(mac="01:00:00:00:00:01"), MachineNic(guest_cidr="x")):
        with pytest.raises(Problem):
            await network.attach("vm", machine=nic)
    assert network.attachments() == []


async def test_the_resolver_is_adopted_and_replaced_when_dead(open_home: OpenHome) -> None:
    network = await open_home()
    pid = network.resolver_pid
    assert pid is not None and (await open_home()).resolver_pid == pid
    kill(pid)
    await asyncio.sleep(0.05)
    await network.refresh()
    assert network.resolver_pid not in (None, pid)


def _is_answered(resolver: str) -> bool:
    """Whether a name is found as clients ask: a second time when a question in flight was lost with a process."""
    asked = (shell("busybox", "nslookup", "-type=a", "a.b.svc.cluster.local", resolver) for _ in range(2))
    return any("10.0.0.1" in answer.stdout for answer in asked)


async def test_a_resolver_of_another_version_is_replaced_without_a_pause(open_home: OpenHome) -> None:
    network = await open_home()
    await network.announce(Snapshot(addresses={"a.b.svc.cluster.local": ("10.0.0.1",)}))
    old = network.resolver_pid
    (network._folder / "resolver.ready").write_text(f"{old} older\n")
    failures = 0
    opening = asyncio.ensure_future(open_home())
    while not opening.done():
        failures += not await asyncio.to_thread(_is_answered, network.config.dns_address)
    assert failures == 0
    assert old is not None and (await opening).resolver_pid != old and not is_running(old)


async def test_a_resolver_whose_home_is_gone_ends(tmp_path: Path, open_home: OpenHome) -> None:
    network = await open_home()
    pid = network.resolver_pid
    (tmp_path / "home").rename(tmp_path / "moved")
    deadline = time.monotonic() + 30
    while pid is not None and is_running(pid) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    assert pid is not None and not is_running(pid)
    (tmp_path / "moved").rename(tmp_path / "home")


async def test_everything_serves_while_no_engine_lives(open_home: OpenHome, serve: Serve) -> None:
    network = await open_home()
    one, two = await network.attach("one"), await network.attach("two")
    await serve("one", 80, one)
    vip = network.config.service_cidr.split("/")[0].rsplit(".", 1)[0] + ".50"
    await network.publish([Forward(vip, "TCP", 80, ((one.ip, 80),))])
    await network.announce(Snapshot(addresses={"one.d.svc.cluster.local": (vip,)}))
    next_engine = await open_home()
    assert fetch(vip, two) == (0, "one")
    looked_up = shell("busybox", "nslookup", "one.d.svc.cluster.local", network.config.dns_address, pod=two)
    assert vip in looked_up.stdout, "a new engine that has announced nothing yet keeps the names"
    await next_engine.publish([])
    assert fetch(vip, two)[0] == 7


async def test_remove_leaves_nothing_and_can_be_repeated(open_home: OpenHome) -> None:
    network = await open_home()
    await network.attach("a")
    await network.attach("vm", machine=MachineNic())
    assert len(await network.sweep()) >= 8
    pid = network.resolver_pid
    await network.remove()
    assert await network.sweep() == [] and pid is not None and not is_running(pid)
    await network.remove()


async def test_remove_finds_pods_without_records(open_home: OpenHome, tmp_path: Path) -> None:
    network = await open_home()
    pod = await network.attach("a")
    paths = Paths(tmp_path / "home")
    next((paths.network / "attachments").glob("*.json")).unlink()
    await (await Network.open(paths, paths.id, egress=False)).remove()
    assert await network.sweep() == [] and not Path(pod.netns_path).exists()


async def test_an_attach_is_quick(open_home: OpenHome) -> None:
    """A guard against a step too many, far above the 10 ms measured."""
    network = await open_home()
    spent = []
    for i in range(5):
        start = time.perf_counter()
        await network.attach(f"p{i}")
        spent.append(time.perf_counter() - start)
    assert min(spent) < 0.1
