"""Network cards that come and go while their machine runs: those with the bridge binding on Multus networks."""

from __future__ import annotations

from copy import deepcopy

from vmpod.kinds.parts.reading import dig, entries, section, text
from vmpod.model.meta import Object


def pluggable(spec: Object) -> dict[str, tuple[Object, Object]]:
    """The cards of a machine spec that may come and go, each with its network, by name."""
    networks = {text(one, "name"): one for one in entries(spec, "networks")}
    found = {}
    for card in entries(dig(spec, "domain", "devices"), "interfaces"):
        network = networks.get(text(card, "name"), {})
        if "bridge" in card and "multus" in network and not dig(network, "multus").get("default"):
            found[text(card, "name")] = (card, network)
    return found


def is_absent(card: Object) -> bool:
    return text(card, "state") == "absent"


def plugs(running: Object, wanted: Object) -> dict[str, tuple[Object, Object]]:
    """The cards that `wanted` has and a machine that runs with `running` has not."""
    there = _names(running)
    return {name: pair for name, pair in pluggable(wanted).items() if name not in there and not is_absent(pair[0])}


def unplugs(running: Object, wanted: Object) -> frozenset[str]:
    """The cards that `wanted` calls absent and a machine that runs with `running` has."""
    gone = {name for name, (card, _) in pluggable(wanted).items() if is_absent(card)}
    return frozenset(name for name, (card, _) in pluggable(running).items() if name in gone and not is_absent(card))


def without_moving(spec: Object, running: Object, started: Object, wanted: Object) -> Object:
    """A spec without those cards, and their networks, that came or go while the machine runs.

    Those are: one that `wanted` adds, one that was added and is as `wanted` says, one that it calls absent, and one
    that was absent and is in neither `running` nor `wanted` any more.
    """
    before, after, now = pluggable(started), pluggable(wanted), pluggable(running)
    came = {name for name, pair in after.items() if name not in _names(started) and _agrees(pair, now.get(name))}
    goes = {name for name, pair in after.items() if is_absent(pair[0]) and _is_same_but_state(pair, before.get(name))}
    went = {name for name in before if name not in _names(wanted) and name not in _names(running)}
    return without(spec, came | goes | went)


def _agrees(wanted: tuple[Object, Object], running: tuple[Object, Object] | None) -> bool:
    """Whether a card that runs is the one that is wanted, or none runs yet; defaults were filled in meanwhile."""
    if running is None:
        return True
    return all(_holds(has, asks) for has, asks in zip(running, wanted, strict=True))


def _holds(has: Object, asks: Object) -> bool:
    return all(has.get(key) == value for key, value in asks.items() if key != "state")


def _is_same_but_state(one: tuple[Object, Object], other: tuple[Object, Object] | None) -> bool:
    return other is None or (_holds(one[0], other[0]) and _holds(other[0], one[0]) and one[1] == other[1])


def _names(spec: Object) -> set[str]:
    return {text(card, "name") for card in entries(dig(spec, "domain", "devices"), "interfaces")}


def without(spec: Object, names: set[str] | frozenset[str]) -> Object:
    """A spec without these cards and their networks."""
    if not names:
        return spec
    kept = deepcopy(spec)
    devices = section(kept, "domain", "devices")
    for holder, key in ((devices, "interfaces"), (kept, "networks")):
        rest = [one for one in entries(holder, key) if text(one, "name") not in names]
        if rest:
            holder[key] = rest
        else:
            holder.pop(key, None)
    return kept


def plugged(spec: Object, wanted: Object) -> Object:
    """The spec of a running machine with the cards that `wanted` adds, and those marked that it calls absent."""
    adds, gone = plugs(spec, wanted), unplugs(spec, wanted)
    if not adds and not gone:
        return spec
    fresh = deepcopy(spec)
    devices = section(fresh, "domain", "devices")
    for card in entries(devices, "interfaces"):
        if text(card, "name") in gone:
            card["state"] = "absent"
    devices["interfaces"] = [*entries(devices, "interfaces"), *(deepcopy(card) for card, _ in adds.values())]
    fresh["networks"] = [*entries(fresh, "networks"), *(deepcopy(network) for _, network in adds.values())]
    return fresh


def departed(spec: Object, shown: set[str]) -> frozenset[str]:
    """The absent cards that the machine has not any more; `shown` are those that its status tells."""
    return frozenset(name for name, (card, _) in pluggable(spec).items() if is_absent(card) and name not in shown)
