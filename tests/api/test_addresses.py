"""Who holds which service address and node port."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from vmpod.api.addresses import ServiceAddresses


def test_a_small_range_is_used_to_the_last() -> None:
    addresses = ServiceAddresses("10.0.0.0/28", (1, 3), rng=random.Random(1))
    given_out = [addresses.next_ip(("n", str(n))) for n in range(12)]
    assert len(set(given_out)) == 12 and addresses.next_ip(("n", "late")) == ""
    assert not {"10.0.0.0", "10.0.0.1", "10.0.0.10", "10.0.0.15"} & set(given_out)
    assert addresses.next_ip(("default", "kubernetes")) == "10.0.0.1"
    assert addresses.next_ip(("kube-system", "kube-dns")) == "10.0.0.10"
    ports = {addresses.next_port({"TCP"}, ("n", str(n))) for n in range(3)}
    assert ports == {1, 2, 3} and addresses.next_port({"TCP"}, ("n", "x")) == 0
    assert addresses.next_port({"UDP"}, ("n", "x")) in (1, 2, 3)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40))
def test_nothing_is_held_twice(steps: list[tuple[int, bool]]) -> None:
    addresses = ServiceAddresses("10.0.0.0/28", (1, 9), rng=random.Random(0))
    held: dict[int, str] = {}
    for who, takes in steps:
        if takes and who not in held:
            held[who] = addresses.next_ip(("n", str(who)))
        elif not takes:
            held.pop(who, None)
            addresses.keep(("n", str(who)), set(), set())
        assert len(set(held.values())) == len(held)
