"""The three-way merge, by tables and by its laws."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.cli.threeway import merged

CASES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    # what, live, applied before, wanted, result
    ("a default stays", {"a": 1, "d": 0}, {"a": 1}, {"a": 1}, {"a": 1, "d": 0}),
    ("the manifest wins over drift", {"replicas": 5}, {"replicas": 2}, {"replicas": 2}, {"replicas": 2}),
    ("a dropped field goes", {"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1}, {"a": 1}),
    ("a field of others stays", {"a": 1, "b": 2}, {"a": 1}, {"a": 3}, {"a": 3, "b": 2}),
    ("null takes a field away", {"a": 1, "b": 2}, {}, {"a": 1, "b": None}, {"a": 1}),
    ("plain lists are replaced", {"l": ["a", "b"]}, {"l": ["a", "b"]}, {"l": ["c"]}, {"l": ["c"]}),
    (
        "named elements keep their defaults",
        {"l": [{"name": "a", "image": "1", "pull": "Always"}]}, {"l": [{"name": "a", "image": "1"}]},
        {"l": [{"name": "a", "image": "2"}]}, {"l": [{"name": "a", "image": "2", "pull": "Always"}]},
    ),
    (
        "a dropped element goes, a foreign one stays",
        {"l": [{"name": "a"}, {"name": "b"}, {"name": "sidecar"}]}, {"l": [{"name": "a"}, {"name": "b"}]},
        {"l": [{"name": "a"}]}, {"l": [{"name": "a"}, {"name": "sidecar"}]},
    ),
    (
        "a node port outlives a new port",
        {"ports": [{"port": 80, "nodePort": 30001}]}, {"ports": [{"port": 80}]},
        {"ports": [{"port": 80}, {"port": 81}]}, {"ports": [{"port": 80, "nodePort": 30001}, {"port": 81}]},
    ),
    (
        "elements without a key go by their place",
        {"l": [{"x": {"a": 1, "d": 0}}]}, {"l": [{"x": {"a": 1}}]}, {"l": [{"x": {"a": 2}}]},
        {"l": [{"x": {"a": 2, "d": 0}}]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("live", "before", "wanted", "result"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_merge(live: dict[str, Any], before: dict[str, Any], wanted: dict[str, Any], result: dict[str, Any]) -> None:
    assert merged(live, before, wanted) == result


def test_string_data_of_a_secret_is_compared_as_data() -> None:
    wanted = {"kind": "Secret", "stringData": {"key": "value"}}
    live = {"kind": "Secret", "data": {"key": "dmFsdWU="}, "type": "Opaque"}
    assert merged(live, wanted, wanted) == live


_values = st.recursive(st.integers(0, 3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
                       | st.lists(inner, max_size=2), max_leaves=8)  # fmt: skip
_objects = st.dictionaries(st.sampled_from("abc"), _values, max_size=3)


@given(_objects, _objects, _objects)
def test_applying_twice_changes_nothing_more(
    live: dict[str, Any], before: dict[str, Any], wanted: dict[str, Any]
) -> None:
    once = merged(live, before, wanted)
    assert merged(once, wanted, wanted) == once


@given(_objects)
def test_applying_what_is_there_changes_nothing(obj: dict[str, Any]) -> None:
    assert merged(obj, obj, obj) == obj
    assert merged(obj, {}, {}) == obj
