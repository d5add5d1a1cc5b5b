"""Pods with an IPv6 address besides: what they reach, and what neither they nor others do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from vmpod.drivers.net import claims, hostnet
from vmpod.drivers.net.network import Attachment, Forward, MachineNic, Network, Snapshot
from vmpod.drivers.net.network import Guest as Told

from .conftest import Guest, OpenHome, shell

pytestmark = pytest.mark.host
OUTSIDE, HERE = (f"fd99:77:0:{os.getpid() % 0xFFFF:x}::{number}" for number in (2, 1))
UPLINK = f"vx{os.getpid()}"
_SERVER = """
import socket, sys
door = socket.create_server((sys.argv[1], int(sys.argv[2])), family=socket.AF_INET6)
print("ready", flush=True)
while True:
    client, peer = door.accept()
    client.sendall(f"{sys.argv[3]} {peer[0]}".encode())
    client.close()
"""
_CLIENT = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])) as door:
        print(door.recv(100).decode())
except ConnectionRefusedError:
    print("refused")
except TimeoutError:
    print("silence")
except OSError as error:
    print(error.strerror)
"""
_DHCP6 = """
import socket, struct, time
from vmpod.drivers.net.dhcp6 import _read_options

def said(kind, *options):
    body = b"".join(struct.pack("!HH", code, len(value)) + value for code, value in options)
    door.sendto(bytes((kind,)) + b"abc" + body, ("ff02::1:2", 547, 0, socket.if_nametoindex("eth0")))
    return _read_options(door.recv(2000)[4:])

def address(options):
    return socket.inet_ntop(socket.AF_INET6, _read_options(options[3][12:])[5][:16])

door = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
door.settimeout(2)
door.bind(("::", 546))
me, asked = (1, bytes.fromhex("0003000102aabbccddee")), (3, bytes(12))
until = time.monotonic() + 60
while time.monotonic() < until:
    try:
        first = said(1, me, asked)
        break
    except OSError:  # nobody listens yet, or the card has no address of its own yet
        time.sleep(0.1)
print("advertised", address(first))
print("given", address(said(3, me, (2, first[2]), asked)))
"""


class There:
    """Looks like an attachment to `shell`."""

    def __init__(self, name: str) -> None:
        self.netns_path = f"/run/netns/{name}"


@pytest.fixture
def answering() -> Iterator[list[subprocess.Popen[str]]]:
    """Servers that end with the test."""
    servers: list[subprocess.Popen[str]] = []
    yield servers
    for server in servers:
        server.kill()
        server.communicate()


def answer(servers: list[subprocess.Popen[str]], word: str, port: int, pod: Attachment | There | None = None,
           address: str = "::") -> None:  # fmt: skip
    """Answer with a word and the client's address, in a pod or on the host."""
    inside = ["nsenter", f"--net={pod.netns_path}"] if pod else []
    server = subprocess.Popen([*inside, sys.executable, "-c", _SERVER, address, str(port), word],
                              stdout=subprocess.PIPE, text=True)  # fmt: skip
    servers.append(server)
    assert server.stdout is not None and server.stdout.readline() == "ready\n"


def ask(address: str, port: int, pod: Attachment | There | None = None, patience_s: float = 20) -> str:
    inside = ["nsenter", f"--net={pod.netns_path}"] if pod else []
    argv = [*inside, sys.executable, "-c", _CLIENT, address, str(port), str(patience_s)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


@pytest.fixture
def outside() -> Iterator[There]:
    """A neighbour of this host on a network of its own."""
    name, device = f"vmpod-six-{os.getpid()}", UPLINK
    for argv in (
        ("ip", "netns", "add", name),
        ("ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name),
        ("ip", "addr", "add", f"{HERE}/64", "dev", device, "nodad"),
        ("ip", "link", "set", device, "up"),
        ("ip", "-n", name, "link", "set", "eth0", "up"),
        ("ip", "-n", name, "addr", "add", f"{OUTSIDE}/64", "dev", "eth0", "nodad"),
        ("ip", "-n", name, "route", "add", "default", "via", HERE),
    ):  # fmt: skip
        done = shell(*argv)
        assert done.returncode == 0, (argv, done.stderr)
    yield There(name)
    shell("ip", "netns", "del", name)
    with contextlib.suppress(Exception):
        shell("ip", "link", "del", device)


@pytest.fixture
def leaving() -> Iterator[Callable[[Network], Callable[[], int]]]:
    """Counts the packets of a home's pods that leave over another device than the home's."""
    name = f"vmpod_test_{os.getpid()}"

    def watch(network: Network) -> Callable[[], int]:
        rule = f'ip6 saddr {network.config.pods6} oifname != "vp-*" counter'
        text = f"table ip6 {name} {{ chain out {{ type filter hook postrouting priority -300; {rule}; }}; }}"
        assert shell("nft", text).returncode == 0
        return lambda: int(shell("nft", "list", "table", "ip6", name).stdout.split("packets ")[1].split()[0])

    yield watch
    shell("nft", "delete", "table", "ip6", name)


Servers = list[subprocess.Popen[str]]


async def test_pods_reach_each_other(open_home: OpenHome, answering: Servers) -> None:
    network = await open_home(dual=True)
    one, two = await network.attach("one"), await network.attach("two")
    assert IPv6Address(one.ip6) in network.config.pods6 and one.ip6 != two.ip6
    answer(answering, "one", 80, one)
    assert ask(one.ip6, 80, two) == f"one {two.ip6}"
    assert ask(one.ip6, 80) == f"one {network.config.gateway6}"
    assert "tentative" not in shell("ip", "-6", "addr", pod=one).stdout
    again = await open_home(dual=True)
    assert await again.attach("one") == one and again.config == network.config
    assert (await again.attach("guest", machine=MachineNic(binding="bridge"))).ip6 == ""


async def test_homes_do_not_share_a_range(open_home: OpenHome) -> None:
    red, blue, plain = await open_home("red", dual=True), await open_home("blue", dual=True), await open_home("plain")
    assert not red.config.pods6.overlaps(blue.config.pods6)
    assert plain.config.block6 == "" and (await plain.attach("pod")).ip6 == ""
    assert hostnet.read_setting(f"ipv6/conf/{plain.config.bridge}/disable_ipv6") == "1"


async def test_nothing_of_the_host_is_for_pods(open_home: OpenHome, answering: Servers) -> None:
    network = await open_home(dual=True)
    pod, neighbour = await network.attach("pod"), await network.attach("neighbour")
    with socket.create_server(("::", 0), family=socket.AF_INET6) as door:
        port = door.getsockname()[1]
    answer(answering, "host", port)
    shown = shell("ip", "-6", "-o", "addr", "show", "dev", network.config.bridge, "scope", "link").stdout
    local = shown.split("inet6 ")[1].split("/")[0]
    assert ask(network.config.gateway6, port) == f"host {network.config.gateway6}"
    for address in (network.config.gateway6, f"{local}%eth0"):
        assert ask(address, port, pod) == "refused", address
    answer(answering, "pod", port, pod)
    assert ask(pod.ip6, port, neighbour).startswith("pod ")


async def test_services(open_home: OpenHome, answering: Servers) -> None:
    network = await open_home(dual=True)
    one, two, client = [await network.attach(name) for name in ("one", "two", "client")]
    first, dead, nobody = (str(network.config.services6[number]) for number in (20, 21, 22))
    answer(answering, "one", 81, one)
    answer(answering, "two", 81, two)
    both = ((one.ip6, 81), (two.ip6, 81))
    await network.publish([
        Forward(first, "TCP", 80, both), Forward(dead, "TCP", 80, ()),
        Forward(network.config.gateway6, "TCP", 30080, both[:1]), Forward(first, "TCP", 90, both, affinity=True),
        Forward(network.config.gateway, "TCP", 30080, ((one.ip, 81),)),
    ])  # fmt: skip
    assert {ask(first, 80, client) for _ in range(20)} == {f"one {client.ip6}", f"two {client.ip6}"}
    assert len({ask(first, 90, client) for _ in range(5)}) == 1
    assert ask(network.config.gateway6, 30080, client).startswith("one ")
    assert ask(first, 80).split()[0] in ("one", "two") and ask(network.config.gateway6, 30080).startswith("one ")
    for place in (client, None):
        assert {ask(address, 80, place) for address in (dead, nobody)} == {"refused"}
    await network.publish([Forward(first, "TCP", 80, both[:1])])
    assert ask(first, 80, one).startswith("one ")  # itself
    assert ask(first, 90, client) == ask(network.config.gateway6, 30080, client) == "refused"


async def test_the_way_out(open_home: OpenHome, answering: Servers, outside: There, tmp_path: Path,
                           leaving: Callable[[Network], Callable[[], int]]) -> None:  # fmt: skip
    answer(answering, "outside", 80, outside)
    everywhere = hostnet.read_setting("ipv6/conf/all/forwarding")
    shared = tmp_path / "shared"
    network = await open_home(egress=False, dual=True, shared=shared)
    pod = await network.attach("pod")
    answer(answering, "pod", 80, pod)
    seen = leaving(network)
    assert ask(OUTSIDE, 80) == f"outside {HERE}"
    assert ask(OUTSIDE, 80, pod) == "refused" and ask(HERE, 80, pod) == "refused"
    assert ask("2001:db8::1", 80, pod) == "refused" and seen() == 0
    network = await open_home(egress=True, dual=True, shared=shared)
    assert ask(OUTSIDE, 80, pod) == f"outside {HERE}" and seen() > 0
    shell("ip", "-n", Path(outside.netns_path).name, "route", "add", str(network.config.pods6), "via", HERE)
    assert ask(pod.ip6, 80, outside, 2) in ("refused", "silence", "Permission denied")
    assert hostnet.read_setting("ipv6/conf/all/forwarding") == everywhere
    await network.remove()
    others = list((claims.folder() / "claims").glob("*.json"))  # which may have opened the way for themselves
    assert others or hostnet.read_setting(f"ipv6/conf/{UPLINK}/force_forwarding") in ("", "0")


async def test_a_guest_behind_masquerade(open_home: OpenHome, answering: Servers,
                                         guest_of: Callable[[Attachment], Guest]) -> None:  # fmt: skip
    network = await open_home(dual=True)
    nic = MachineNic(ports=(("tcp", 80),), guest_cidr6="fd20::2/120")
    pod, client = await network.attach("vm", machine=nic), await network.attach("client")
    guest = guest_of(pod)
    assert pod.guest_ip6 == "fd20::2"
    for argv in (("addr", "add", "fd20::2/120", "dev", "eth0", "nodad"), ("route", "add", "default", "via", "fd20::1")):
        assert guest.run("ip", *argv).returncode == 0
    there = There(Path(guest.path).name)
    for port in (80, 81):
        answer(answering, "guest", port, there)
    assert ask(pod.ip6, 80, client) == f"guest {client.ip6}"
    assert ask(pod.ip6, 81, client) == ask(pod.ip6, 81) == "refused"
    answer(answering, "client", 90, client)
    assert ask(client.ip6, 90, there) == f"client {pod.ip6}"
    assert ask(network.config.gateway6, 22, there) == "refused"


async def test_an_address_is_handed_over(open_home: OpenHome, answering: Servers) -> None:
    network = await open_home(dual=True)
    old = await network.attach("old")
    new = await network.attach("new", twin_of="old")
    other = await network.attach("other")
    assert (new.ip6, new.standby) == (old.ip6, True)
    answer(answering, "old", 80, old)
    answer(answering, "new", 80, new)
    assert [ask(old.ip6, 80, place).split()[0] for place in (None, other)] == ["old"] * 2
    await network.hand_over("old", "new")
    assert [ask(old.ip6, 80, place).split()[0] for place in (None, other)] == ["new"] * 2


async def test_a_guest_is_told_its_address_and_gateway(open_home: OpenHome, answering: Servers,
                                                       guest_of: Callable[[Attachment], Guest]) -> None:  # fmt: skip
    network = await open_home(dual=True)
    pod, client = await network.attach("vm", machine=MachineNic()), await network.attach("client")
    guest = guest_of(pod)
    await network.announce(Snapshot(guests={"vm": Told("vm", ("shop.svc.cluster.local",))}))
    argv = ["nsenter", f"--net={guest.path}", sys.executable, "-c", _DHCP6]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=90, check=False)
    assert done.stdout.splitlines() == ["advertised fd10:0:2::2", "given fd10:0:2::2"], done.stderr
    assert guest.run("ip", "addr", "add", "fd10:0:2::2/128", "dev", "eth0", "nodad").returncode == 0
    for _ in range(600):
        routes = guest.run("ip", "-6", "route").stdout
        if "default via fe80::ff:fe00:0" in routes:
            break
        await asyncio.sleep(0.1)
    assert "default via fe80::ff:fe00:0 dev eth0 proto ra" in routes
    answer(answering, "client", 90, client)
    assert ask(client.ip6, 90, There(Path(guest.path).name)) == f"client {pod.ip6}"


async def test_names_of_both_families(open_home: OpenHome) -> None:
    network = await open_home(dual=True)
    pod, six = await network.attach("pod"), str(network.config.services6[20])
    name = "web.shop.svc.cluster.local"
    await network.announce(Snapshot(addresses={name: ("10.1.2.3", six)}, pointers={six: name}))
    for asked, kind, told in ((name, "a", "10.1.2.3"), (name, "aaaa", six), (IPv6Address(six).reverse_pointer, "ptr", name)):
        shown = ""
        for _ in range(600):
            argv = ("busybox", "nslookup", f"-type={kind}", asked, network.config.dns_address)
            shown = shell(*argv, pod=pod, timeout_s=60).stdout.partition("\n\n")[2]
            if told in shown:
                break
            await asyncio.sleep(0.1)
        assert told in shown, (asked, kind)


async def test_a_home_gives_the_second_family_up_and_takes_it_again(open_home: OpenHome, answering: Servers) -> None:
    first = await open_home(dual=True)
    pod = await first.attach("pod")
    service = str(first.config.services6[20])
    alone = await open_home()
    assert alone.config.block6 == "" and (await alone.attach("later")).ip6 == ""
    assert "ip6" not in " ".join(await alone._tables())
    assert hostnet.read_setting(f"ipv6/conf/{alone.config.bridge}/disable_ipv6") == "1"
    assert (await alone.attach("twin", twin_of="pod")).ip6 == pod.ip6
    await alone.announce(Snapshot(addresses={"a.svc.cluster.local": ("10.1.2.3", service)}))
    again = await open_home(dual=True)
    assert again.config == first.config and await again.attach("pod") == pod
    answer(answering, "pod", 80, pod)
    assert ask(pod.ip6, 80, await again.attach("client")).startswith("pod ")
