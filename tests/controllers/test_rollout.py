"""The arithmetic of rollouts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.controllers.rollout import Bounds, Share, bounds, grow, shrink, spread


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (2, "25%", "25%", (3, 2)),
        (10, "25%", "25%", (13, 8)),
        (4, 1, 0, (5, 4)),
        (4, 0, 0, (4, 3)),
        (1, "0%", "100%", (1, 0)),
        (3, 2, 5, (5, 0)),
        (0, "25%", "25%", (0, 0)),
    ],
)
def test_surge_rounds_up_unavailable_down(replicas: int, surge: Any, unavailable: Any, expected: Any) -> None:
    found = bounds(replicas, surge, unavailable)
    assert (found.most, found.least) == expected


def test_broken_pods_of_old_revisions_go_first() -> None:
    old = [Share("oldest", 2, available=2), Share("broken", 2, available=0)]
    assert shrink(Bounds(4, 1, 0), Share("new", 1, available=1), old) == {"oldest": 2, "broken": 1}
    assert shrink(Bounds(4, 2, 1), Share("new", 1, available=1), old) == {"oldest": 2, "broken": 0}


def test_a_scaling_is_shared_in_proportion() -> None:
    shares = [Share("new", 5, maximum=13), Share("old", 8, maximum=13)]
    sizes = spread(Bounds(20, 4, 4), shares)
    assert sum(sizes.values()) == 24
    assert sizes == {"new": 9, "old": 15}


@given(st.integers(1, 20), st.integers(0, 5), st.integers(0, 5), st.lists(st.integers(0, 10), min_size=1, max_size=4))
def test_a_rollout_ends_and_never_leaves_its_bounds(
    replicas: int, surge: int, unavailable: int, olds: list[int]
) -> None:
    limits = bounds(replicas, surge, unavailable)
    new, old = Share("new", 0), [Share(f"old-{index}", size, size) for index, size in enumerate(olds)]
    for _ in range(200):
        before = new, old
        new = Share("new", grow(limits, new, old), new.available)
        total = new.wanted + sum(one.wanted for one in old)
        assert total <= max(limits.most, sum(olds))
        sizes = shrink(limits, new, old)
        available = new.available + sum(min(one.available, sizes[one.name]) for one in old)
        assert available >= min(limits.least, new.available + sum(one.available for one in old))
        old = [Share(one.name, sizes[one.name], sizes[one.name]) for one in old]
        if (new, old) == before and new.available == new.wanted:
            break
        new = Share("new", new.wanted, new.wanted)
    assert new.wanted == replicas
    assert all(one.wanted == 0 for one in old)


@given(st.integers(0, 30), st.integers(0, 5), st.lists(st.integers(1, 10), min_size=2, max_size=4))
def test_a_scaling_gives_away_exactly_what_there_is(replicas: int, surge: int, sizes: list[int]) -> None:
    limits = bounds(replicas, surge, 1)
    shares = [Share(str(index), size, maximum=sum(sizes)) for index, size in enumerate(sizes)]
    found = spread(limits, shares)
    assert sum(found.values()) == limits.most
    assert all(size >= 0 for size in found.values())
