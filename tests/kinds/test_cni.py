"""CNI configurations: which networks they are here, and what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.kinds import NETWORKATTACHMENTDEFINITION as KIND
from vmpod.kinds.parts import cni

SUBNET = {"type": "host-local", "subnet": "10.9.0.0/24", "rangeStart": "10.9.0.20", "routes": [{"dst": "10.8.0.0/16"}]}


@pytest.mark.parametrize(("config", "segment"), [
    ({"type": "bridge"}, "bridge cni0"),
    ({"type": "bridge", "bridge": "br1"}, "bridge br1"),
    ({"type": "cnv-bridge", "bridge": "br1", "vlan": 100}, "bridge br1 100"),
    ({"type": "macvlan"}, "macvlan shop/lan"),
    ({"type": "macvlan", "master": "br1", "mode": "bridge"}, "bridge br1"),
    ({"type": "macvlan", "master": "br1.100"}, "bridge br1 100"),
    ({"plugins": [{"type": "bridge", "bridge": "br2"}, {"type": "tuning"}]}, "bridge br2"),
])  # fmt: skip
def test_who_hears_whom(config: dict[str, Any], segment: str) -> None:
    assert cni.read(json.dumps(config), "shop/lan").segment == segment


def test_addresses() -> None:
    found = cni.read(json.dumps({"type": "bridge", "mtu": 1400, "ipam": SUBNET}), "a/b")
    assert found.mtu == 1400
    assert found.addresses.pool == ("10.9.0.0/24", "10.9.0.20", "10.9.0.254")
    assert found.addresses.routes == (("10.8.0.0/16", "10.9.0.1"),)
    given_ = {"type": "static", "addresses": [{"address": "10.9.0.7/24"}]}
    assert cni.read(json.dumps({"type": "bridge", "ipam": given_}), "a/b").addresses.given == ("10.9.0.7/24",)


@pytest.mark.parametrize(("config", "why"), [
    ("", "not JSON"), ("[]", "not a JSON object"), ('{"type": "ovs"}', "'ovs' is not supported"), ("{}", "None is not"),
    ('{"type": "bridge", "vlan": 5000}', '"vlan": 5000'), ('{"type": "bridge", "vlanTrunk": [{}]}', '"vlanTrunk"'),
    ('{"type": "bridge", "ipam": {"type": "dhcp"}}', "IPAM plugin type 'dhcp'"),
    ('{"type": "bridge", "ipam": {"type": "host-local", "subnet": "x"}}', '"ipam"'),
    ('{"type": "bridge", "ipam": {"type": "host-local"}}', '"ipam"'),
    ('{"plugins": [{"type": "bridge"}, {"type": "firewall"}]}', "'firewall' is not supported"),
    ('{"plugins": []}', '"plugins"'),
])  # fmt: skip
def test_what_cannot_be_is_named(config: str, why: str) -> None:
    with pytest.raises(cni.Unusable) as caught:
        cni.read(config, "a/b")
    assert why in str(caught.value)


@given(st.text(max_size=40) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["type", "plugins", "ipam", "vlan", "mtu"]), inner, max_size=3)
).map(json.dumps))
def test_nothing_written_there_breaks_the_reader(text: str) -> None:
    try:
        cni.read(text, "a/b")
    except cni.Unusable as unusable:
        assert str(unusable)


def test_warnings_name_what_has_no_effect() -> None:
    said = json.dumps({"type": "bridge", "isGateway": True, "ipMasq": True})
    obj = {"metadata": {"name": "lan"}, "spec": {"config": said}}
    assert KIND.warnings(obj) == [
        "spec.config.ipMasq: not supported, ignored", "spec.config.isGateway: not supported, ignored"]
    other = {"metadata": {"name": "lan"}, "spec": {"config": '{"type": "sriov"}'}}
    assert "nothing starts with it" in KIND.warnings(other)[0]
    faults = KIND.validate({"metadata": {"name": "lan", "namespace": "a"}, "spec": {"config": "{"}}, None)
    assert [fault.path for fault in faults] == ["spec.config"]
