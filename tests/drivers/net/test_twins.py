"""Two pods of one address: others reach the one whose cable is plugged in."""

from __future__ import annotations

import pytest

from vmpod.base.errors import Problem
from vmpod.drivers.net.network import MachineNic

from .conftest import OpenHome, Serve, fetch, shell
from .test_links import wish

pytestmark = pytest.mark.host


async def test_an_address_is_handed_over_and_back(open_home: OpenHome, serve: Serve) -> None:
    network = await open_home()
    old = await network.attach("old")
    new = await network.attach("new", twin_of="old")
    other = await network.attach("other")
    assert (new.ip, new.mac, new.standby) == (old.ip, old.mac, True)
    assert new.netns != old.netns and new.device != old.device and other.ip != old.ip
    await serve("old", 80, old)
    await serve("new", 80, new)
    assert [fetch(old.ip), fetch(old.ip, other)] == [(0, "old")] * 2
    for _ in range(2):
        await network.hand_over("old", "new")
        assert [fetch(old.ip), fetch(old.ip, other)] == [(0, "new")] * 2
    again = await open_home()
    assert {one.pod_uid: one.standby for one in again.attachments()} == {"old": True, "new": False, "other": False}
    await again.hand_over("new", "old")
    assert fetch(old.ip, other) == (0, "old")
    await again.hand_over("old", "new")
    await again.detach("old")
    assert fetch(old.ip, other) == (0, "new")
    assert (await again.attach("fourth")).ip != old.ip
    await again.hand_over("old", "new")  # whom it was taken from is gone
    with pytest.raises(Problem, match="not on the network"):
        await again.hand_over("new", "old")
    with pytest.raises(Problem, match="is not on it"):
        await again.attach("late", twin_of="old")


async def test_a_machine_has_the_same_cards_in_both(open_home: OpenHome) -> None:
    network = await open_home()
    nic, cards = MachineNic(binding="masquerade"), [wish(tap="tap1", owner="machine")]
    old = await network.attach("old", machine=nic, wishes=cards)
    new = await network.attach("new", machine=nic, wishes=cards, twin_of="old")
    assert (new.guest_ip, new.guest_mac, new.links[0].mac) == (old.guest_ip, old.guest_mac, old.links[0].mac)
    assert new.links[0].addresses == old.links[0].addresses and new.links[0].port != old.links[0].port
    assert [is_plugged(network.config.home_id, one.links[0].port) for one in (old, new)] == [True, False]
    await network.hand_over("old", "new")
    assert [is_plugged(network.config.home_id, one.links[0].port) for one in (old, new)] == [False, True]


def is_plugged(home_id: str, port: str) -> bool:
    """Whether the cable in the home's switches is up."""
    shown = shell("ip", "-n", f"vmpod-{home_id}-switches", "link", "show", port).stdout
    return ",UP" in shown
