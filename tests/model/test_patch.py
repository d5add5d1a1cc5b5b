from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.model import patch
from vmpod.model.diff import changed_paths, equal_ignoring, is_same
from vmpod.model.status import ApiError

# The table of RFC 7386, appendix A.
RFC7386: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}), ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}), ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}), ({"a": ["b"]}, {"a": "c"}, {"a": "c"}), ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}), ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]), ({"a": "b"}, ["c"], ["c"]), ({"a": "foo"}, None, None), ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}), ([1, 2], {"a": "b", "c": None}, {"a": "b"}), ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("old", "wish", "new"), RFC7386)
def test_rfc7386(old: Any, wish: Any, new: Any) -> None:
    assert patch.merge_patch(old, wish) == new


LEAF = st.booleans() | st.integers(0, 3) | st.sampled_from(["x", "y"])
JSON = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
)
OBJECT = st.dictionaries(st.sampled_from("abcd"), JSON, max_size=4)


@given(OBJECT, OBJECT)
def test_diff_leads_from_old_to_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert changed_paths(patch.merge_patch(old, patch.merge_diff(old, new)), new) == []
    assert patch.merge_diff(new, new) == {}
    assert (patch.merge_diff(old, new) == {}) is (changed_paths(old, new) == [])


def test_json_patch_changes_nothing_on_failure() -> None:
    obj = {"a": {"b": [1]}}
    ops = [{"op": "add", "path": "/a/b/-", "value": 2}, {"op": "test", "path": "/a/b/0", "value": 9}]
    with pytest.raises(ApiError) as caught:
        patch.json_patch(obj, ops)
    assert caught.value.code == 422
    assert caught.value.message == "the server rejected our request due to an error in our request"
    assert obj == {"a": {"b": [1]}}


@pytest.mark.parametrize(("ops", "code"), [
    ({}, 400), ([{"op": "munge", "path": "/a"}], 400), ([{"path": "/a"}], 400), (["x"], 400), ([{"op": "add", "path": "a", "value": 1}], 422),
    ([{"op": "remove", "path": "/x"}], 422), ([{"op": "replace", "path": "", "value": 1}], 422), ([{"op": "test", "path": "/a"}] * 10001, 413),
    ([{"op": "add", "path": 3, "value": 1}], 400), ([{"op": "copy", "from": None, "path": "/a"}], 400),
])
def test_wrong_json_patches(ops: Any, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        patch.json_patch({"a": 1}, ops)
    assert caught.value.code == code


def test_changed_paths() -> None:
    old = {"a": 1, "b": {"c": [1, {"d": 2}]}, "l": [1], "gone": {"x": 1}, "labels": {"e.org/x": 1}, "t": 1}
    new = {"a": 1, "b": {"c": [1, {"d": 3}]}, "l": [1, 2], "new": 1, "labels": {"e.org/x": 2}, "t": True}
    assert changed_paths(old, new) == ["b.c[1].d", "gone", "l", "labels[e.org/x]", "new", "t"]


def test_is_same() -> None:
    assert is_same({"a": [1, {"b": "x"}]}, {"a": [1, {"b": "x"}]})
    assert not is_same([1], [True])
    assert not is_same({"a": 1}, {"b": 1})


def test_equal_ignoring() -> None:
    old = {"metadata": {"a": 1, "resourceVersion": "1"}, "status": {"x": 1}, "spec": {"l": [{"n": 1, "k": 1}]}}
    new = {"metadata": {"a": 1}, "status": {}, "spec": {"l": [{"n": 2, "k": 1}]}}
    assert equal_ignoring(old, new, "metadata.resourceVersion", "status", "spec.l[*].n")
    assert not equal_ignoring(old, new, "status", "metadata.resourceVersion")
    assert old["status"] == {"x": 1}
