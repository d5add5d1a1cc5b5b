"""Whether a pod can run on a node beside other pods: affinity, anti-affinity, topology spread. Pure.

The words are kube-scheduler's; so is the rule that the first pod of a group need not find another one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmpod.model.meta import Object, get, labels, name, namespace
from vmpod.model.selectors import from_object

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
AFFINITY = "node(s) didn't match pod affinity rules"
ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"
SPREAD = "node(s) didn't match pod topology spread constraints"
SPREAD_LABEL = f"{SPREAD} (missing required label)"
Term = Mapping[str, Any]


@dataclass(frozen=True)
class Placed:
    """The pods that have a node, each with it, and the labels of namespaces by name."""

    pods: Sequence[tuple[Object, Object]] = ()
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def refusals(pod: Object, node: Object, placed: Placed, eligible: Iterable[Object]) -> list[str]:
    """Why the pod cannot run there; the first rule that is broken. `eligible`: the nodes that spreading counts."""
    if reason := _spread_refusal(pod, node, placed, eligible):
        return [reason]
    if not all(_finds(pod, node, term, placed) for term in _terms(pod, "podAffinity")):
        return [AFFINITY]
    if any(_meets(pod, node, term, placed) for term in _terms(pod, "podAntiAffinity")):
        return [ANTI_AFFINITY]
    return [EXISTING] if any(_is_unwanted(pod, node, other, where, placed) for other, where in placed.pods) else []


def _terms(pod: Object, kind: str) -> list[Term]:
    return list(get(pod, "spec", "affinity", kind, _REQUIRED, default=()))


def _meets(pod: Object, node: Object, term: Term, placed: Placed) -> bool:
    """Whether a pod that the term names runs in the node's domain."""
    return any(
        _shares(node, where, term["topologyKey"]) and _selects(pod, term, other, placed)
        for other, where in placed.pods
    )


def _finds(pod: Object, node: Object, term: Term, placed: Placed) -> bool:
    if term["topologyKey"] not in labels(node):
        return False
    if _meets(pod, node, term, placed):
        return True
    is_first = not any(_selects(pod, term, other, placed) for other, _ in placed.pods)
    return is_first and _selects(pod, term, pod, placed)


def _is_unwanted(pod: Object, node: Object, other: Object, where: Object, placed: Placed) -> bool:
    return any(
        _shares(node, where, term["topologyKey"]) and _selects(other, term, pod, placed)
        for term in _terms(other, "podAntiAffinity")
    )


def _shares(one: Object, other: Object, key: str) -> bool:
    """Whether two nodes are of one domain."""
    return key in labels(one) and labels(one)[key] == labels(other).get(key)


def _selects(owner: Object, term: Term, other: Object, placed: Placed) -> bool:
    """Whether `owner`'s term is about `other`."""
    return _is_in_scope(owner, term, namespace(other), placed) and from_object(
        _narrowed(owner, term)).matches(labels(other))


def _is_in_scope(owner: Object, term: Term, space: str, placed: Placed) -> bool:
    named, selector = term.get("namespaces") or (), term.get("namespaceSelector")
    if not named and selector is None:
        return space == namespace(owner)
    return space in named or from_object(selector).matches(placed.namespaces.get(space, {}))


def _narrowed(owner: Object, term: Term) -> Term | None:
    """The selector, with the owner's own values of `matchLabelKeys` (and not those of `mismatchLabelKeys`)."""
    selector: Term | None = term.get("labelSelector")
    rules = [("In", key) for key in term.get("matchLabelKeys") or ()]
    rules += [("NotIn", key) for key in term.get("mismatchLabelKeys") or ()]
    more = [{"key": key, "operator": operator, "values": [labels(owner)[key]]}
            for operator, key in rules if key in labels(owner)]
    if selector is None or not more:
        return selector
    return {**selector, "matchExpressions": [*(selector.get("matchExpressions") or ()), *more]}


# Spreading


def _spread_refusal(pod: Object, node: Object, placed: Placed, eligible: Iterable[Object]) -> str:
    rules = [one for one in get(pod, "spec", "topologySpreadConstraints", default=())
             if one.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule"]
    if any(rule["topologyKey"] not in labels(node) for rule in rules):
        return SPREAD_LABEL
    nodes = list(eligible)
    return SPREAD if any(_is_lopsided(pod, node, rule, placed, nodes) for rule in rules) else ""


def _is_lopsided(pod: Object, node: Object, rule: Term, placed: Placed, eligible: Sequence[Object]) -> bool:
    """Whether one more pod in this node's domain would put it too far above the emptiest one."""
    key = rule["topologyKey"]
    selector = from_object(_narrowed(pod, rule))
    domain_of = {name(one): labels(one)[key] for one in eligible if key in labels(one)}
    counts = Counter(dict.fromkeys(domain_of.values(), 0))
    for other, where in placed.pods:
        counted = namespace(other) == namespace(pod) and selector.matches(labels(other))
        if counted and name(where) in domain_of:
            counts[domain_of[name(where)]] += 1
    here = counts[labels(node)[key]] + int(selector.matches(labels(pod)))
    enough = len(counts) >= int(rule.get("minDomains") or 1)
    return here - (min(counts.values(), default=0) if enough else 0) > int(rule.get("maxSkew") or 1)
