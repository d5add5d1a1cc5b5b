"""Which cards come and go while their machine runs."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vmpod.kinds.parts import card_hotplug
from vmpod.model.meta import Object


def spec(**cards: str) -> Object:
    """Cards by name and state; `pod` is on the pod network, the others on networks of their names."""
    made = [{"name": name, "masquerade" if name == "pod" else "bridge": {}, **({"state": state} if state else {})}
            for name, state in cards.items()]
    networks = [{"name": name, **({"pod": {}} if name == "pod" else {"multus": {"networkName": name}})}
                for name in cards]
    return {"domain": {"devices": {"interfaces": made}}, "networks": networks} if made else {"domain": {"devices": {}}}


def names(made: Object) -> list[str]:
    return [one["name"] for one in made["domain"]["devices"].get("interfaces", ())]


def test_only_bridges_on_further_networks_may() -> None:
    assert list(card_hotplug.pluggable(spec(pod="", a="", b="absent"))) == ["a", "b"]
    other: dict[str, Any] = spec(a="")
    other["domain"]["devices"]["interfaces"][0] = {"name": "a", "sriov": {}}
    assert card_hotplug.pluggable(other) == {}


def test_what_is_added_comes_and_what_is_absent_goes() -> None:
    fresh = card_hotplug.plugged(spec(pod="", a=""), spec(pod="", a="absent", b="", c="absent"))
    assert names(fresh) == ["pod", "a", "b"]
    assert [one["name"] for one in fresh["networks"]] == ["pod", "a", "b"]
    assert fresh["domain"]["devices"]["interfaces"][1]["state"] == "absent"
    assert card_hotplug.plugged(fresh, spec(pod="", a="absent", b="", c="absent")) == fresh


def test_an_absent_card_is_forgotten_once_no_status_shows_it() -> None:
    running = spec(pod="", a="absent")
    assert card_hotplug.departed(running, {"pod", "a"}) == frozenset()
    assert card_hotplug.departed(running, {"pod"}) == {"a"}
    assert names(card_hotplug.without(running, {"a"})) == ["pod"]


def test_what_moves_live_is_no_difference() -> None:
    started = spec(pod="", a="", gone="")
    running = spec(pod="", a="", b="")
    wanted = spec(pod="", a="absent", b="", c="")
    left = [card_hotplug.without_moving(one, running, started, wanted) for one in (started, wanted)]
    assert left[0] == left[1] == spec(pod="")


def test_a_card_that_is_taken_out_of_the_template_or_changed_is_one() -> None:
    started, running = spec(pod="", a=""), spec(pod="", a="")
    assert card_hotplug.without_moving(started, running, started, spec(pod="")) == started
    running, wanted = spec(pod="", a="", b=""), spec(pod="", a="", b="")
    wanted["domain"]["devices"]["interfaces"][2]["macAddress"] = "02:00:00:00:00:01"
    assert names(card_hotplug.without_moving(wanted, running, started, wanted)) == ["pod", "a", "b"]


_CARDS = st.dictionaries(st.sampled_from(["pod", "a", "b", "c"]), st.sampled_from(["", "up", "down", "absent"]))


@given(_CARDS, _CARDS)
def test_a_second_time_changes_nothing(running: dict[str, str], wanted: dict[str, str]) -> None:
    fresh = card_hotplug.plugged(spec(**running), spec(**wanted))
    assert card_hotplug.plugged(fresh, spec(**wanted)) == fresh
    assert len(set(names(fresh))) == len(names(fresh))
    assert [one["name"] for one in fresh.get("networks", ())] == names(fresh)
