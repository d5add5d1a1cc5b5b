"""Processors of a machine's own: enough of them, never two machines on one, and one that is left to everybody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.base.errors import Problem
from vmpod.model.meta import Object
from vmpod.node import pinning


def vmi(cores: int, *, isolated: bool = False) -> Object:
    cpu = {"cores": cores, "dedicatedCpuPlacement": True, "isolateEmulatorThread": isolated}
    return {"metadata": {"name": "own"}, "spec": {"domain": {"cpu": cpu}}}


@given(st.integers(1, 4), st.booleans(), st.sets(st.integers(0, 15), min_size=1), st.sets(st.integers(0, 15)))
def test_what_is_given_away(cores: int, isolated: bool, host: set[int], taken: set[int]) -> None:
    wanted = vmi(cores, isolated=isolated)
    try:
        chosen = {int(one) for one in pinning.choose(wanted, [",".join(map(str, taken))], host).split(",")}
    except Problem:
        assert cores + isolated > len(host - taken) - 1
        return
    assert len(chosen) == cores + isolated == pinning.wanted(wanted)
    assert chosen <= host and not chosen & taken
    assert host - taken - chosen, "one is left"


def test_too_few_are_told() -> None:
    with pytest.raises(Problem, match=r"it wants 2 processors for itself .* and of the 2 of this host 1 can be given away"):
        pinning.choose(vmi(2), [], [0, 1])


def test_who_shares_them_wants_none() -> None:
    assert pinning.wanted({"metadata": {"name": "a"}, "spec": {"domain": {"cpu": {"cores": 2}}}}) == 0
