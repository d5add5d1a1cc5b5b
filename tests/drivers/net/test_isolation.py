"""What must not be reached: other homes, and the outside when it is closed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.drivers.net.conftest import OpenHome, Serve, fetch, shell

from vmpod.drivers.net import claims
from vmpod.drivers.net.network import Forward

pytestmark = pytest.mark.host
OUTSIDE, HERE = "198.18.77.2", "198.18.77.1"


@pytest.fixture
def outside() -> Iterator[str]:
    """A neighbour of this host on a network of its own; gives the name of its namespace."""
    name, device = f"vmpod-outside-{os.getpid()}", "vxtest0"
    for argv in (
        ("ip", "netns", "add", name),
        ("ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name),
        ("ip", "addr", "add", f"{HERE}/30", "dev", device),
        ("ip", "link", "set", device, "up"),
        ("ip", "-n", name, "addr", "add", f"{OUTSIDE}/30", "dev", "eth0"),
        ("ip", "-n", name, "link", "set", "eth0", "up"),
        ("ip", "-n", name, "route", "add", "default", "via", HERE),
    ):  # fmt: skip
        done = shell(*argv)
        assert done.returncode == 0, (argv, done.stderr)
    yield name
    shell("ip", "netns", "del", name)
    with contextlib.suppress(Exception):
        shell("ip", "link", "del", device)


class _There:
    """Looks like an attachment to `shell` and `serve`."""

    def __init__(self, name: str) -> None:
        self.netns_path = f"/run/netns/{name}"


def forwards() -> bool:
    """Whether the device to the outside forwards, unless it may do so for a home that is none of this test's."""
    others = list((claims.folder() / "claims").glob("*.json"))
    return not others and Path("/proc/sys/net/ipv4/conf/vxtest0/forwarding").read_text().strip() == "1"


async def test_two_homes_side_by_side(open_home: OpenHome, serve: Serve) -> None:
    red, blue = await open_home("red"), await open_home("blue")
    assert red.config.block != blue.config.block and red.config.bridge != blue.config.bridge
    mine, theirs = await red.attach("same-uid"), await blue.attach("same-uid")
    await serve("red", 80, mine)
    await serve("blue", 80, theirs)
    vip = blue.config.service_cidr.split("/")[0].rsplit(".", 1)[0] + ".20"
    await blue.publish([
        Forward(vip, "TCP", 80, ((theirs.ip, 80),)), Forward(blue.config.gateway, "TCP", 30080, ((theirs.ip, 80),)),
    ])  # fmt: skip
    assert fetch(mine.ip) == (0, "red") and fetch(theirs.ip) == (0, "blue")
    assert fetch(vip) == fetch(vip, theirs) == (0, "blue")
    for place in (theirs.ip, vip, f"{vip}:81", f"{blue.config.gateway}:30080", f"{blue.config.gateway}:22"):
        assert fetch(place, mine) == (7, ""), place
    dns = shell("busybox", "nslookup", "x.cluster.local", blue.config.dns_address, pod=mine, timeout_s=30)
    assert "NXDOMAIN" not in dns.stdout
    await red.remove()
    assert fetch(vip, theirs) == (0, "blue")


async def test_egress_closed(open_home: OpenHome, serve: Serve, outside: str, tmp_path: Path) -> None:
    await serve("outside", 80, _There(outside))
    network = await open_home(egress=False, shared=tmp_path / "shared")
    pod = await network.attach("pod")
    assert fetch(OUTSIDE) == (0, "outside")
    assert fetch(OUTSIDE, pod) == (7, "") and fetch(f"{HERE}:9", pod)[0] == 7
    assert not forwards()
    refused = shell("busybox", "nslookup", "-type=a", "example.com", network.config.dns_address, pod=pod)
    assert "REFUSED" in refused.stdout + refused.stderr


async def test_egress_open_lets_out_and_nobody_in(
    open_home: OpenHome, serve: Serve, outside: str, tmp_path: Path
) -> None:
    there = _There(outside)
    await serve("outside", 80, there)
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    network = await open_home(egress=True, shared=tmp_path / "shared")
    pod = await network.attach("pod")
    await serve("pod", 80, pod)
    assert fetch(OUTSIDE, pod) == (0, "outside")
    assert fetch(pod.ip, there, 1)[1] == ""  # type: ignore[arg-type]
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == before
    await network.remove()
    assert not forwards()


async def test_egress_can_be_closed_by_the_next_engine(
    open_home: OpenHome, serve: Serve, outside: str, tmp_path: Path
) -> None:
    await serve("outside", 80, _There(outside))
    shared = tmp_path / "shared"
    pod = await (await open_home(egress=True, shared=shared)).attach("pod")
    assert fetch(OUTSIDE, pod) == (0, "outside")
    network = await open_home(egress=False, shared=shared)
    assert not network.config.egress and fetch(OUTSIDE, pod) == (7, "")
    await open_home(egress=True, shared=shared)
    assert fetch(OUTSIDE, pod) == (0, "outside")
