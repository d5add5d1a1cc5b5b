"""Services in the kernel: from the host, from pods, from a pod to itself."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.drivers.net.conftest import OpenHome, Serve, fetch, shell

from vmpod.drivers.net import nft, services
from vmpod.drivers.net.network import Attachment, Forward, Network

pytestmark = pytest.mark.host
ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 5353))
while True:
    s.sendto(*s.recvfrom(99))
"""
ASK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(2)
s.connect((sys.argv[1], 53))
s.send(b"datagram")
print(s.recv(99).decode())
"""


def vip(network: Network, offset: int) -> str:
    return network.config.service_cidr.split("/")[0].rsplit(".", 1)[0] + f".{offset}"


def balancer(network: Network, offset: int) -> str:
    return network.config.loadbalancer_cidr.split("/")[0].rsplit(".", 1)[0] + f".{offset}"


async def pods(network: Network, serve: Serve, count: int) -> list[Attachment]:
    found = [await network.attach(f"pod-{i}") for i in range(count)]
    for i, pod in enumerate(found):
        await serve(f"pod-{i}", 8080, pod)
    return found


async def test_one_service_under_all_its_addresses(open_home: OpenHome, serve: Serve) -> None:
    network = await open_home()
    one, two = await pods(network, serve, 2)
    other = await network.attach("other")
    ends = ((one.ip, 8080), (two.ip, 8080))
    fronts = [(vip(network, 20), 80), (balancer(network, 4), 22), (network.config.gateway, 30080)]
    await network.publish([Forward(ip, "TCP", port, ends) for ip, port in fronts])
    for ip, port in fronts:
        for source in (None, other, one):
            seen = {fetch(f"{ip}:{port}", source) for _ in range(12)}
            assert seen == {(0, "pod-0"), (0, "pod-1")}, (ip, port, source)


@pytest.mark.parametrize("count", [3, 9])
async def test_every_endpoint_gets_the_same_share(open_home: OpenHome, serve: Serve, count: int) -> None:
    network = await open_home()
    pod = await network.attach("pod")
    for i in range(count):
        await serve(str(i), 9000 + i, pod)
    await network.publish([Forward(vip(network, 20), "TCP", 80, tuple((pod.ip, 9000 + i) for i in range(count)))])
    url = f"http://{vip(network, 20)}/?[1-{count * 20}]"
    found = Counter(shell("curl", "-s", url).stdout.split())
    assert len(found) == count and min(found.values()) >= 5, found


async def test_the_client_address_is_kept_between_pods(open_home: OpenHome, serve: Serve) -> None:
    network = await open_home()
    one, two = await network.attach("one"), await network.attach("two")
    await serve("one", 8080, one)
    await network.publish([Forward(vip(network, 20), "TCP", 80, ((one.ip, 8080),))])
    holding = await asyncio.create_subprocess_exec(
        "nsenter", f"--net={two.netns_path}", "sh", "-c", f"sleep 1 | busybox nc {vip(network, 20)} 80"
    )
    await asyncio.sleep(0.4)
    peers = shell("ss", "-Htn", "sport = :8080", pod=one).stdout
    await holding.wait()
    assert two.ip in peers


async def test_what_nobody_claimed_is_refused_at_once(open_home: OpenHome, serve: Serve) -> None:
    network = await open_home()
    pod = await network.attach("pod")
    await serve("wildcard", 8022)
    empty = [Forward(vip(network, 20), "TCP", 80, ()), Forward(network.config.gateway, "TCP", 8022, ())]
    await network.publish([*empty, Forward(balancer(network, 4), "UDP", 53, ())])
    for source in (None, pod):
        for place in (
            f"{vip(network, 20)}:80", f"{vip(network, 21)}:80", f"{balancer(network, 4)}:8022",
            f"{network.config.gateway}:8022", f"{network.config.dns_address}:8022",
        ):  # fmt: skip
            assert fetch(place, source) == (7, ""), (place, source)


async def test_a_wildcard_listener_does_not_catch_a_load_balancer(open_home: OpenHome, serve: Serve) -> None:
    """As an sshd on 0.0.0.0:22 would every address of the host."""
    network = await open_home()
    pod = await network.attach("pod")
    await serve("listener", 8022)
    await serve("endpoint", 22, pod)
    await network.publish([Forward(balancer(network, 4), "TCP", 8022, ((pod.ip, 22),))])
    assert fetch("127.0.0.9:8022") == (0, "listener")
    assert fetch(f"{balancer(network, 4)}:8022") == fetch(f"{balancer(network, 4)}:8022", pod) == (0, "endpoint")


async def test_no_request_fails_while_endpoints_change(open_home: OpenHome, serve: Serve) -> None:
    network = await open_home()
    one, two = await pods(network, serve, 2)
    address = vip(network, 20)
    sets = [((one.ip, 8080),), ((one.ip, 8080), (two.ip, 8080)), ((two.ip, 8080),)]
    await network.publish([Forward(address, "TCP", 80, sets[0])])
    client = await asyncio.create_subprocess_exec(
        "curl", "-s", "-m", "20", "--no-keepalive", "-H", "Connection: close", "--rate", "6000/m",
        f"http://{address}/?[1-150]", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    for i in range(30):
        await network.publish([Forward(address, "TCP", 80, sets[i % 3])])
        await asyncio.sleep(0.02)
    out, _ = await client.communicate()
    assert client.returncode == 0 and len(out.split()) == 150


async def test_udp(open_home: OpenHome) -> None:
    network = await open_home()
    pod, other = await network.attach("pod"), await network.attach("other")
    inside = ("nsenter", f"--net={pod.netns_path}", sys.executable, "-c", ECHO)
    echo = await asyncio.create_subprocess_exec(*inside)
    try:
        await network.publish([Forward(vip(network, 20), "UDP", 53, ((pod.ip, 5353),))])
        await asyncio.sleep(0.2)
        for source in (None, other):
            assert shell(sys.executable, "-c", ASK, vip(network, 20), pod=source).stdout.strip() == "datagram"
    finally:
        echo.kill()
        await echo.wait()


async def test_affinity_keeps_a_client_at_one_endpoint(open_home: OpenHome, serve: Serve) -> None:
    network = await open_home()
    one, two = await pods(network, serve, 2)
    ends = ((one.ip, 8080), (two.ip, 8080))
    await network.publish([Forward(vip(network, 20), "TCP", 80, ends, affinity=True)])
    clients = [None, *[await network.attach(f"client-{i}") for i in range(8)]]
    chosen = [{fetch(vip(network, 20), client) for _ in range(4)} for client in clients]
    assert all(len(seen) == 1 for seen in chosen)
    assert len(set.union(*chosen)) == 2
    assert shell("nft", "list", "table", "ip", network.config.services_table).returncode == 0


async def test_without_br_netfilter(tmp_path: Path) -> None:
    """In a host of its own (network and mount namespace), where frames between pods do not pass nftables."""
    program = Path(__file__).with_name("without_br_netfilter.py")
    done = shell(
        "unshare", "-n", "-m", "sh", "-c",
        'mount -t sysfs sysfs /sys && ip link set lo up && exec "$@"', "sh", sys.executable, str(program), str(tmp_path),
        timeout_s=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == ["host:pod-0,pod-1", "other:pod-0,pod-1", "itself:pod-0,pod-1", "left:"]


async def test_a_table_changed_by_others_is_replaced(open_home: OpenHome, serve: Serve) -> None:
    network = await open_home()
    (one,) = await pods(network, serve, 1)
    await network.publish([Forward(vip(network, 20), "TCP", 80, ((one.ip, 8080),))])
    shell("nft", "delete", "table", "ip", network.config.services_table)
    await network.publish([Forward(vip(network, 21), "TCP", 80, ((one.ip, 8080),))])
    assert fetch(vip(network, 21)) == (0, "pod-0")


async def test_differences_end_at_the_same_table_as_a_whole_replacement(open_home: OpenHome) -> None:
    network = await open_home()
    pod = await network.attach("pod")
    steps = [
        [Forward(vip(network, 20 + i), "TCP", 80, tuple((pod.ip, 1000 + j) for j in range(count)))
         for i, count in enumerate(counts)]
        for counts in ((1, 2, 3), (3, 2, 0), (0, 0, 1, 2), (2, 2, 2), ())
    ]  # fmt: skip
    for forwards in steps:
        await network.publish(forwards)
        by_steps = shell("nft", "list", "table", "ip", network.config.services_table).stdout
        await network._replace_services(nft.four(network.config), services.Rules({
            **{name: frozenset() for name in network._published["ip"].elements},
            **services.rules(forwards).elements,
        }))  # fmt: skip
        whole = shell("nft", "list", "table", "ip", network.config.services_table).stdout
        assert sorted(_elements(by_steps)) == sorted(_elements(whole))


def _elements(listing: str) -> list[str]:
    flat = listing.replace("\n", " ").replace("\t", " ")
    return [part.strip(" }") for piece in flat.split("elements = {")[1:] for part in piece.split("}")[0].split(",")]


async def test_a_thousand_services(open_home: OpenHome) -> None:
    network = await open_home()
    pod = await network.attach("pod")
    base = network.config.service_cidr.split("/")[0].rsplit(".", 2)[0]
    third = int(network.config.service_cidr.split(".")[2])
    many = [
        Forward(f"{base}.{third + 1 + i // 250}.{i % 250}", "TCP", 80, ((pod.ip, 80), (pod.ip, 81)))
        for i in range(1000)
    ]  # fmt: skip
    await network.publish(many)
    await network.publish([*many[1:], Forward(vip(network, 77), "TCP", 80, ((pod.ip, 80), (pod.ip, 81)))])
    listed = shell("nft", "-j", "list", "map", "ip", network.config.services_table, "n2").stdout
    assert listed.count('"concat"') >= 4000
