"""Service maps as text and as differences."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vmpod.drivers.net import config as configuration
from vmpod.drivers.net import namespaces, nft, ranges, services, snapshot
from vmpod.drivers.net.attachments import MachineNic, describe, free_address, mac_of
from vmpod.drivers.net.services import Forward, Rules

CONFIG = configuration.of_block("abcdef01", next(ranges.candidates("x")))
FOUR = nft.four(CONFIG)
ENDPOINTS = st.lists(st.tuples(st.sampled_from([f"10.0.0.{i}" for i in range(1, 12)]), st.integers(1, 3)), max_size=12)
FORWARDS = st.lists(st.builds(
    lambda offset, protocol, ends: Forward(f"10.9.0.{offset}", protocol, 80, tuple(ends)),
    st.integers(1, 6), st.sampled_from(["TCP", "UDP"]), ENDPOINTS,
), max_size=8)  # fmt: skip


@given(FORWARDS)
def test_every_endpoint_has_exactly_one_bucket(forwards: list[Forward]) -> None:
    rules = services.rules(forwards)
    first = {forward.key: forward for forward in reversed(forwards)}
    for forward in first.values():
        ends = set(forward.endpoints)
        found = [e for name, elements in rules.elements.items() if name not in ("hairpin", "affine")
                 for e in elements if e.startswith(forward.key + " ") or e == forward.key]
        assert len(found) == max(1, len(ends))
        if ends:
            assert {e.split(" : ")[1] for e in found} == {f"{ip} . {port}" for ip, port in ends}


@given(FORWARDS, FORWARDS)
def test_a_difference_turns_the_old_into_the_new(before: list[Forward], after: list[Forward]) -> None:
    old, new = services.rules(before), services.rules(after)
    text = services.difference(CONFIG, FOUR, old, new)
    if text is None:
        assert set(new.elements) - set(old.elements)
        return
    held = {name: set(elements) for name, elements in old.elements.items()}
    for line in text.splitlines():
        verb, _, _, _, name, listed = line.split(" ", 5)
        for element in listed.strip("{} ").split(", "):
            if verb == "add":
                held[name].add(element)
            else:
                held[name] = {e for e in held[name] if e.partition(" : ")[0] != element}
    assert {k: v for k, v in held.items() if v} == {k: set(v) for k, v in new.elements.items() if v}


def test_the_same_rules_need_no_command() -> None:
    rules = services.rules([Forward("10.9.0.1", "TCP", 80, (("10.0.0.1", 80),))])
    assert services.difference(CONFIG, FOUR, rules, rules) == ""


def test_a_change_of_affinity_replaces_the_table() -> None:
    ends = (("10.0.0.1", 80), ("10.0.0.2", 80))
    plain, sticky = (services.rules([Forward("10.9.0.1", "TCP", 80, ends, affinity=flag)]) for flag in (False, True))
    assert services.difference(CONFIG, FOUR, plain, sticky) is None
    assert "jhash ip saddr mod 2" in services.whole(CONFIG, FOUR, sticky, bridge_filter=True)


def test_one_rule_per_number_of_endpoints() -> None:
    many = [Forward(f"10.9.0.{i}", "TCP", 80, (("10.0.0.1", 80), ("10.0.0.2", 80))) for i in range(1, 50)]
    text = services.whole(CONFIG, FOUR, services.rules(many), bridge_filter=True)
    assert text.count("dnat ip to") == 2 and "numgen random mod 2 map @n2" in text
    assert "@hairpin masquerade" in text
    assert "@hairpin" not in services.whole(CONFIG, FOUR, Rules({"hairpin": frozenset()}), bridge_filter=False)


def test_the_way_out_is_open_or_closed() -> None:
    opened = nft.base(CONFIG, nft.Ways(("eth0",)))
    assert "masquerade" in opened and 'iifname "eth0" ct state new ct status & dnat == 0 drop' in opened
    closed = nft.base(configuration.of_block("abcdef01", next(ranges.candidates("x")), egress=False), nft.Ways())
    assert "masquerade" not in closed and "admin-prohibited" in closed


def test_a_bridged_guest_takes_over_address_and_mac() -> None:
    ip = str(CONFIG.pods[20])
    attachment = describe("uid", ip, CONFIG, mtu=1500, nic=MachineNic(binding="bridge"))
    assert (attachment.guest_ip, attachment.guest_mac) == (ip, mac_of(ip))
    assert attachment.guest_mac not in namespaces.host_batch(attachment, CONFIG)
    assert f"addr add {ip}" not in namespaces.inner_script(attachment, CONFIG)


def test_addresses_go_round() -> None:
    pods = CONFIG.pods
    first = free_address(pods, [], 0)
    assert first == str(pods[16]) and free_address(pods, [first], 0) == str(pods[17])
    assert free_address(pods, [], pods.num_addresses - 2) == first


def test_a_lease_tells_the_guest_where_it_is() -> None:
    ip = str(CONFIG.pods[20])
    attachments = [describe(b, ip, CONFIG, mtu=1400, nic=MachineNic(binding=b)) for b in ("masquerade", "bridge")]
    text = snapshot.encode(snapshot.Snapshot(), CONFIG, attachments).decode()
    assert '"router": "10.0.2.1"' in text and f'"router": "{CONFIG.gateway}"' in text and '"mtu": 1400' in text
