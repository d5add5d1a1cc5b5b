"""Machines on the network: DHCP, masquerade and bridge, with a stand-in guest on the inner bridge."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.drivers.net.conftest import Guest, OpenHome, Serve, fetch, shell

from vmpod.drivers.net.network import Attachment, Forward, MachineNic, Network, Snapshot
from vmpod.drivers.net.network import Guest as Told

pytestmark = pytest.mark.host
Plug = Callable[[Attachment], Guest]
SEARCH = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")


def serve_in_guest(guest: Guest, word: str, port: int) -> None:
    guest.run("sh", "-c", f"mkdir -p /tmp/{word} && echo {word} > /tmp/{word}/index.html && busybox httpd -p {port} -h /tmp/{word}")


def stop_in_guest(guest: Guest, word: str) -> None:
    guest.run("sh", "-c", f"kill $(ip netns pids {guest.path.rsplit('/', 1)[1]} | grep -v $$) ; rm -rf /tmp/{word}")


async def test_masquerade_leases_one_address_with_all_options(
    open_home: OpenHome, guest_of: Plug, tmp_path: Path
) -> None:
    network = await open_home()
    nic = MachineNic(hostname="orders", search=SEARCH)
    attached = await network.attach("vm", machine=nic)
    guest = guest_of(attached)
    before = time.time() - 1
    told = guest.lease()
    (mark,) = tmp_path.glob("home/network/leases/*")
    assert mark.name == attached.netns and mark.stat().st_mtime >= before, "it is known when the guest got it"
    assert told["ip"] == "10.0.2.2" and told["mask"] == "24" and told["router"] == "10.0.2.1"
    assert told["dns"] == network.config.dns_address and told["hostname"] == "orders" and told["mtu"] == "1500"
    assert told["search"].split() == list(SEARCH)
    assert int(told["lease"]) == 0xFFFFFFFF


async def test_a_guest_is_told_other_name_servers(open_home: OpenHome, guest_of: Plug) -> None:
    network = await open_home()
    guest = guest_of(await network.attach("vm", machine=MachineNic(servers=("10.1.0.1", "10.1.0.53"))))
    await network.announce(Snapshot(guests={"vm": Told("late", ("a.example",))}))
    told = guest.lease()
    assert told["dns"] == "10.1.0.1 10.1.0.53"
    assert not told.get("search"), "its servers come with its domains, here none"


async def test_what_the_snapshot_tells_of_a_guest_reaches_it(open_home: OpenHome, guest_of: Plug) -> None:
    network = await open_home()
    guest = guest_of(await network.attach("vm", machine=MachineNic()))
    await network.announce(Snapshot(guests={"vm": Told("late", ("a.example",))}))
    told = guest.lease()
    assert (told["hostname"], told["search"]) == ("late", "a.example")


async def test_the_pod_address_stands_for_the_guest(open_home: OpenHome, guest_of: Plug, serve: Serve) -> None:
    network = await open_home()
    vm = await network.attach("vm", machine=MachineNic())
    pod = await network.attach("pod")
    guest = guest_of(vm)
    guest.lease()
    serve_in_guest(guest, "guestword", 80)
    try:
        assert fetch(vm.ip) == (0, "guestword")
        assert fetch(vm.ip, pod) == (0, "guestword")
        assert fetch("127.0.0.1", vm) == (0, "guestword")
        await check_services(network, vm, pod, guest, serve)
    finally:
        stop_in_guest(guest, "guestword")


async def check_services(network: Network, vm: Attachment, pod: Attachment, guest: Guest, serve: Serve) -> None:
    """A guest behind a Service, a guest that uses one, and both at once."""
    await serve("podword", 8080, pod)
    of_guest, of_pod = service_ip(network, 20), service_ip(network, 21)
    await network.publish([
        Forward(of_guest, "TCP", 8080, ((vm.ip, 80),)), Forward(of_pod, "TCP", 80, ((pod.ip, 8080),)),
    ])  # fmt: skip
    await network.announce(Snapshot(addresses={"catalog.shop.svc.cluster.local": (of_pod,)}))
    assert fetch(f"{of_guest}:8080") == (0, "guestword")
    assert fetch(f"{of_guest}:8080", pod) == (0, "guestword")
    assert guest.run("curl", "-sm3", f"http://{of_pod}/").stdout.strip() == "podword"
    assert guest.run("curl", "-sm3", f"http://{of_guest}:8080/").stdout.strip() == "guestword"
    answer = guest.run("busybox", "nslookup", "catalog.shop.svc.cluster.local", network.config.dns_address)
    assert of_pod in answer.stdout


def service_ip(network: Network, offset: int) -> str:
    return network.config.service_cidr.split("/")[0].rsplit(".", 1)[0] + f".{offset}"


async def test_masquerade_with_a_list_of_ports_lets_only_those_in(open_home: OpenHome, guest_of: Plug) -> None:
    network = await open_home()
    vm = await network.attach("vm", machine=MachineNic(ports=(("TCP", 81),)))
    guest = guest_of(vm)
    guest.lease()
    serve_in_guest(guest, "portword", 80)
    serve_in_guest(guest, "portword", 81)
    try:
        assert fetch(f"{vm.ip}:81") == (0, "portword")
        assert fetch(f"{vm.ip}:80")[0] == 7
    finally:
        stop_in_guest(guest, "portword")


async def test_bridge_binding_gives_the_guest_the_pods_address(open_home: OpenHome, guest_of: Plug, serve: Serve) -> None:
    network = await open_home()
    vm = await network.attach("vm", machine=MachineNic(binding="bridge", hostname="bridged", search=SEARCH))
    pod = await network.attach("pod")
    guest = guest_of(vm)
    told = guest.lease()
    assert told["ip"] == vm.ip == vm.guest_ip and told["router"] == network.config.gateway
    assert told["hostname"] == "bridged" and told["mask"] == "20"
    serve_in_guest(guest, "bridgeword", 80)
    try:
        for _ in range(3):
            assert fetch(vm.ip) == (0, "bridgeword")
            assert fetch(vm.ip, pod) == (0, "bridgeword")
        await serve("podword", 8080, pod)
        of_guest, of_pod = service_ip(network, 20), service_ip(network, 21)
        await network.publish([
            Forward(of_guest, "TCP", 80, ((vm.ip, 80),)), Forward(of_pod, "TCP", 80, ((pod.ip, 8080),)),
        ])  # fmt: skip
        assert fetch(of_guest, pod) == (0, "bridgeword")
        assert guest.run("curl", "-sm3", f"http://{of_pod}/").stdout.strip() == "podword"
        assert guest.run("curl", "-sm3", f"http://{of_guest}/").stdout.strip() == "bridgeword"
    finally:
        stop_in_guest(guest, "bridgeword")


async def test_dhcp_does_not_leave_the_pod(open_home: OpenHome, guest_of: Plug) -> None:
    network = await open_home()
    first = guest_of(await network.attach("one", machine=MachineNic(binding="bridge")))
    second = await network.attach("two", machine=MachineNic(binding="bridge"))
    assert first.lease()["ip"] != second.ip


async def test_attaching_again_leaves_a_running_machine_alone(open_home: OpenHome, guest_of: Plug) -> None:
    network = await open_home()
    vm = await network.attach("vm", machine=MachineNic(hostname="before"))
    guest = guest_of(vm)
    again = await (await open_home()).attach("vm", machine=MachineNic(hostname="after", search=("x.example",)))
    assert (again.ip, again.guest_mac, again.tap) == (vm.ip, vm.guest_mac, "tap0")
    assert guest.lease()["hostname"] == "after"


async def test_the_tap_belongs_to_the_machines_user(open_home: OpenHome) -> None:
    network = await open_home()
    vm = await network.attach("vm", machine=MachineNic(uid=4107))
    shown = shell("ip", "-d", "link", "show", "tap0", pod=vm).stdout
    assert "user 4107" in shown and "master k6t-eth0" in shown
    assert re.search(r"link/ether 02:00:00:00:00:00", shell("ip", "link", "show", "k6t-eth0", pod=vm).stdout)


async def test_another_guest_network(open_home: OpenHome, guest_of: Plug) -> None:
    network = await open_home()
    guest = guest_of(await network.attach("vm", machine=MachineNic(guest_cidr="10.11.12.0/28", mac="02-AA-00-00-00-07")))
    told = guest.lease()
    assert (told["ip"], told["router"], told["mask"]) == ("10.11.12.2", "10.11.12.1", "28")
