"""Free ranges, and the claims of other homes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.base.errors import Problem
from vmpod.drivers.net import config as configuration
from vmpod.drivers.net import hostnet, ranges
from vmpod.drivers.net.claims import Claim, Claims

NETWORK = st.builds(lambda address, prefix: IPv4Network((address, prefix), strict=False),
                    st.integers(0, 2**32 - 1), st.integers(7, 32))  # fmt: skip


@given(st.text(max_size=8), st.lists(NETWORK, max_size=20))
def test_a_chosen_block_overlaps_nothing(seed: str, taken: list[IPv4Network]) -> None:
    try:
        block = ranges.choose(seed, taken)
    except Problem:
        assert all(any(b.network.overlaps(t) for t in (*taken, *ranges._NEVER)) for b in ranges.candidates(seed))
        return
    assert not any(block.network.overlaps(network) for network in taken)
    parts = (block.pods, block.services, block.loadbalancers)
    assert all(part.subnet_of(block.network) for part in parts)
    assert not any(a.overlaps(b) for i, a in enumerate(parts) for b in parts[i + 1 :])


def test_every_block_is_tried_once() -> None:
    blocks = [block.network for block in ranges.candidates("x")]
    assert len(blocks) == len(set(blocks)) == 512 + 64 + 256 + 4


def test_when_all_is_taken_it_says_so() -> None:
    with pytest.raises(Problem, match="every private IPv4 range is routed"):
        ranges.choose("x", [IPv4Network("0.0.0.0/0")])


def test_device_names_fit_the_kernel() -> None:
    config = configuration.of_block("0123456789abcdef", next(ranges.candidates("x")))
    assert all(len(name) <= 15 for name in (config.bridge, config.service_device))


def settle(tmp_path: Path, home: str, *routed: str, egress: bool = True) -> configuration.NetworkConfig:
    return configuration.settle(
        tmp_path / home / "config.json", home, [IPv4Network(r) for r in routed], Claims(tmp_path / "shared"),
        egress=egress,
    )  # fmt: skip


def test_a_home_keeps_its_block_whatever_is_routed_later(tmp_path: Path) -> None:
    first = settle(tmp_path, "one")
    assert settle(tmp_path, "one", first.block, egress=False) == replace(first, egress=False)


def test_homes_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = ranges.candidates
    monkeypatch.setattr(ranges, "candidates", lambda seed: block("the same for all"))
    blocks = {settle(tmp_path, f"home-{i}").block for i in range(5)}
    assert len(blocks) == 5


def test_the_claim_of_a_vanished_home_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = ranges.candidates
    monkeypatch.setattr(ranges, "candidates", lambda seed: block("the same for all"))
    first = settle(tmp_path, "gone")
    (tmp_path / "gone" / "config.json").unlink()
    assert settle(tmp_path, "next").block == first.block
    assert [claim.home_id for claim in Claims(tmp_path / "shared").living()] == ["next"]


def test_a_copied_home_gets_ranges_of_its_own(tmp_path: Path) -> None:
    first = settle(tmp_path, "one")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "config.json").write_bytes((tmp_path / "one" / "config.json").read_bytes())
    copy = settle(tmp_path, "copy")
    assert copy.home_id == "copy" and copy.block != first.block


def test_a_block_that_another_home_took_is_a_problem(tmp_path: Path) -> None:
    first = settle(tmp_path, "one")
    claims = Claims(tmp_path / "shared")
    claims.drop("one")
    claims.write(Claim("two", first.block, str(tmp_path / "one" / "config.json")))
    with pytest.raises(Problem, match="uses it now"):
        settle(tmp_path, "one")


def test_unreadable_records_are_made_anew(tmp_path: Path) -> None:
    settle(tmp_path, "one")
    (tmp_path / "one" / "config.json").write_text("{")
    (tmp_path / "shared" / "claims" / "one.json").write_text("[]")
    assert settle(tmp_path, "one").home_id == "one"


def test_routes_of_the_host() -> None:
    routes = [{"dst": "default"}, {"dst": "10.1.0.0/16"}, {"type": "local", "dst": "10.1.0.5"}, {"dst": "0.0.0.0/0"}]
    assert [str(network) for network in hostnet.parse_routes(routes)] == ["10.1.0.0/16", "10.1.0.5/32"]


def test_the_devices_that_lead_out() -> None:
    table = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n" + "\n".join((
        "eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0", "eth0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0",
        "tun0 0000000A 00000000 0001 0 0 0 000000FF 0 0 0", "vp-12345678 0080A00A 00000000 0001 0 0 0 00F0FFFF 0 0 0",
    ))  # fmt: skip
    assert hostnet.leading_out(table) == ["eth0", "tun0"]
    assert hostnet.leading_out(table, default_only=True) == ["eth0"]


@given(st.text(max_size=8), st.text(max_size=8))
def test_each_home_has_unique_local_addresses_of_its_own(one: str, other: str) -> None:
    block = ranges.block6(one)
    assert block.prefixlen == 48 and block.subnet_of(IPv6Network("fd00::/8")) and block == ranges.block6(one)
    assert one == other or not block.overlaps(ranges.block6(other))
    parts = [ranges.part6(str(block), index, 64) for index in range(3)]
    assert all(part.subnet_of(block) for part in parts) and len(set(parts)) == 3


def test_ways_out_by_ipv6() -> None:
    zero, far = "0" * 32, "fd" + "0" * 30
    near = far[:-1] + "2"
    text = "\n".join([
        f"{far} 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth0",
        f"{zero} 00 {zero} 00 {near} 00000400 00000002 00000000 00000003     tun0",
        f"fe80{zero[4:]} 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth1",
        f"ff00{zero[4:]} 08 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth2",
        f"{near} 80 {zero} 00 {zero} 00000000 00000003 00000000 80200001     eth3",
        f"{far} 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001 vp-abcdef01",
        f"{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo",
    ])
    assert hostnet.leading_out6(text + "\n") == ["eth0", "tun0"]
