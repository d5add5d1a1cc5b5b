"""Further networks of pods: who hears whom, what of the host cannot be reached, and that nothing stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.drivers.net.conftest import OpenHome, shell

from vmpod.drivers.net import links
from vmpod.drivers.net.links import LinkWish
from vmpod.drivers.net.network import Attachment, MachineNic

pytestmark = pytest.mark.host
POOL = ("10.9.0.0/24", "10.9.0.1", "10.9.0.254")


def wish(segment: str = "bridge br1", **more: object) -> LinkWish:
    return LinkWish("default/lan", segment, "net1", pool=POOL, **more)  # type: ignore[arg-type]


def pings(pod: Attachment, address: str) -> bool:
    return shell("busybox", "ping", "-c1", "-W1", address, pod=pod).returncode == 0


async def test_pods_on_one_switch_hear_each_other_and_nobody_else_does(open_home: OpenHome) -> None:
    network = await open_home()
    a = await network.attach("a", wishes=[wish()])
    b = await network.attach("b", wishes=[wish()])
    other = await network.attach("c", wishes=[wish("bridge br1 100")])
    assert [one.links[0].addresses for one in (a, b, other)] == [("10.9.0.2/24",), ("10.9.0.3/24",), ("10.9.0.2/24",)]
    assert pings(a, "10.9.0.3") and not pings(other, "10.9.0.3")
    host_route = shell("ip", "route", "replace", f"{network.config.gateway}/32", "dev", "net1", pod=a)
    assert host_route.returncode == 0 and not pings(a, network.config.gateway)  # and no address on it
    again = await open_home()
    assert {one.pod_uid: one for one in again.attachments()} == {one.pod_uid: one for one in network.attachments()}
    assert await again.attach("a", wishes=[wish()]) == a
    switches = Path("/run/netns") / links.namespace(network.config.home_id)
    await again.detach("c")
    assert switches.exists() and pings(b, "10.9.0.2")
    await again.detach("a")
    await again.detach("b")
    assert not switches.exists()


async def test_a_machine_has_a_tap_on_the_switch_and_a_lost_namespace_is_made_anew(open_home: OpenHome) -> None:
    network = await open_home()
    asked = LinkWish("default/lan", "bridge br1", "pod12345678", tap="tap12345678", queues=2, pool=POOL)
    vm = await network.attach("vm", machine=MachineNic(queues=2), wishes=[asked])
    shown = shell("ip", "-d", "link", pod=vm).stdout
    assert "tap12345678" in shown and "k6t-12345678" in shown and "multi_queue numqueues" in shown
    assert vm.links[0].mac not in shown  # the guest's own: no port may have it
    shell("ip", "netns", "del", vm.netns)
    shell("ip", "netns", "del", links.namespace(network.config.home_id))
    again = await open_home()
    assert await again.attach("vm", machine=MachineNic(queues=2), wishes=[asked]) == vm
    assert "tap12345678" in shell("ip", "link", pod=vm).stdout
