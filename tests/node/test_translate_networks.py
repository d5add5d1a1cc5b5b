"""The Multus annotation of a pod, and what comes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from vmpod.base.errors import Problem
from vmpod.controllers.launcher import launcher_pod
from vmpod.drivers.net.attachments import Attachment
from vmpod.drivers.net.links import Link, LinkWish, describe
from vmpod.model.meta import Object
from vmpod.node.translate import networks


def pod(said: str) -> Object:
    return {"metadata": {"name": "p", "namespace": "shop", "annotations": {networks.NETWORKS: said}}}


def definition(**config: Any) -> Object:
    return {"spec": {"config": json.dumps({"type": "bridge", **config})}}


@pytest.mark.parametrize(("said", "found"), [
    ("lan", [("shop/lan", "net1", "")]),
    ("lan, other/wan@wan0", [("shop/lan", "net1", ""), ("other/wan", "wan0", "")]),
    ('[{"name": "lan", "mac": "02:11:11:11:11:11"}, {"name": "wan", "namespace": "other", "interface": "w"}]',
     [("shop/lan", "net1", "02:11:11:11:11:11"), ("other/wan", "w", "")]),
    ("", []),
])  # fmt: skip
def test_both_forms(said: str, found: list[tuple[str, str, str]]) -> None:
    assert [(one.network, one.interface, one.mac) for one in networks.selections(pod(said))] == found


@pytest.mark.parametrize(("said", "why"), [
    ("[", "is not JSON"), ("[{}]", "without a name"), ("lan@eth0", "eth0 twice"), ("a@x,b@x", "x twice"),
    ("lan@../x", "no name of an interface"), ('[{"name": "lan", "default-route": ["1.2.3.4"]}]', "'default-route'"),
    ('[{"name": "lan", "ips": ["x"]}]', "'x'"),
])  # fmt: skip
def test_what_cannot_be_read_is_named(said: str, why: str) -> None:
    with pytest.raises(Problem) as caught:
        networks.selections(pod(said))
    assert why in caught.value.why


def test_a_missing_or_unusable_definition_is_named() -> None:
    with pytest.raises(Problem, match=r"cannot find a network-attachment-definition \(lan\) in namespace \(shop\)"):
        networks.wishes(pod("lan"), None, lambda where, wanted: None)
    with pytest.raises(Problem, match="shop/lan: the CNI plugin type 'ovs' is not supported"):
        networks.wishes(pod("lan"), None, lambda where, wanted: definition(type="ovs"))


def test_a_machine_and_its_launcher_agree_on_interfaces() -> None:
    cards = [{"name": "default", "masquerade": {}}, {"name": "lan", "bridge": {}, "macAddress": "02:22:22:22:22:22"}]
    vmi: Object = {
        "metadata": {"name": "vm", "namespace": "shop", "uid": "u"},
        "spec": {"domain": {"devices": {"interfaces": cards}, "memory": {"guest": "64Mi"}}, "networks": [
            {"name": "default", "pod": {}}, {"name": "lan", "multus": {"networkName": "lan"}}]},
    }  # fmt: skip
    launcher = launcher_pod(vmi, "image")
    launcher["metadata"]["namespace"] = "shop"
    (wish,) = networks.wishes(launcher, vmi, lambda where, wanted: definition(bridge="br1", vlan=3))
    assert (wish.segment, wish.mac, wish.network) == ("bridge br1 3", "02:22:22:22:22:22", "shop/lan")
    assert wish.interface.startswith("pod") and wish.tap == f"tap{wish.interface[3:]}"


def test_addresses_and_cards_are_given_once() -> None:
    wish = LinkWish("a/b", "bridge br1", "net1", pool=("10.9.0.0/30", "10.9.0.1", "10.9.0.2"), mac="02:33:33:33:33:33")
    (first,) = describe("vmpod-x-111111111111", [wish], [])
    assert first.addresses == ("10.9.0.2/30",)
    with pytest.raises(Problem, match="MAC address"):
        describe("vmpod-x-222222222222", [wish], [first])
    with pytest.raises(Problem, match="all addresses"):
        describe("vmpod-x-222222222222", [LinkWish("a/b", "bridge br1", "net1", pool=wish.pool)], [first])
    (elsewhere,) = describe("vmpod-x-222222222222", [LinkWish("a/c", "bridge br2", "net1", pool=wish.pool)], [first])
    assert (elsewhere.addresses, elsewhere.switch, first.switch) == (("10.9.0.2/30",), "s1", "s0")


def test_both_ends_of_a_migration_have_the_same_card() -> None:
    wish = LinkWish("a/b", "bridge br1", "pod1", pool=("10.9.0.0/29", "10.9.0.1", "10.9.0.6"), owner="vmi")
    (source,) = describe("vmpod-x-111111111111", [wish], [])
    (target,) = describe("vmpod-x-222222222222", [wish], [source])
    assert (target.mac, target.addresses) == (source.mac, source.addresses) and target.port != source.port
    (stranger,) = describe("vmpod-x-333333333333", [replace(wish, owner="other")], [source, target])
    assert stranger.mac != source.mac and stranger.addresses == ("10.9.0.3/29",)
    with pytest.raises(Problem, match="MAC address"):
        describe("vmpod-x-333333333333", [replace(wish, owner="other", mac=source.mac)], [source])


def test_the_status_is_written_as_multus_writes_it() -> None:
    link = Link(LinkWish("shop/lan", "bridge br1", "net1"), "02:00:00:00:00:09", ("10.9.0.2/24",), "s0", "p")
    attached = Attachment("u", "n", "/n", "10.128.0.20", "0a:58:0a:80:00:14", "10.128.0.1", links=(link,))
    own, further = json.loads(networks.status_text(pod("lan"), attached))
    assert own["default"] is True and own["ips"] == ["10.128.0.20"]
    assert further == {
        "name": "shop/lan", "interface": "net1", "ips": ["10.9.0.2"], "mac": "02:00:00:00:00:09", "dns": {}}
