from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.model import selectors
from vmpod.model.status import ApiError

LABELS = {"app": "web", "tier": "front", "n": "5", "empty": ""}

MATCHES = [
    ("", True), ("app=web", True), ("app==web", True), ("app=db", False), ("app!=db", True), ("none!=x", True),
    ("app", True), ("none", False), ("!none", True), ("!app", False), ("app in (web,db)", True), ("app in (db)", False),
    ("app notin (db)", True), ("none notin (x)", True), ("app notin (web, x)", False), ("n>4", True), ("n>5", False),
    ("n<6", True), ("app>1", False), ("none<9", False), ("app=web,tier=front", True), ("app=web,tier=back", False),
    (" app = web , tier in ( front ) ", True), ("empty=", True), ("app=", False), ("empty in (,x)", True),
    ("app in ()", False), ("empty in ()", True), ("example.org/app", False), ("app=web,!none,n>1", True),
]


@pytest.mark.parametrize(("text", "expected"), MATCHES)
def test_labels(text: str, expected: bool) -> None:
    selector = selectors.parse_labels(text)
    assert selector.matches(LABELS) is expected
    assert selector.is_empty is not bool(text)
    assert selectors.parse_labels(str(selector)) == selector


@pytest.mark.parametrize("text", [",", "app=web,", "a b", "app in web", "app in (web", "=x", "app=web=x", "!", "-a", "a>x",
                                  "a in (x y)", "a/b/c=d", "app=we!b", "a=" + "x" * 64])
def test_wrong_labels(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        selectors.parse_labels(text)
    assert caught.value.code == 400


def test_objects() -> None:
    wish = {"matchLabels": {"app": "web"}, "matchExpressions": [
        {"key": "tier", "operator": "In", "values": ["front", "back"]}, {"key": "none", "operator": "DoesNotExist"},
        {"key": "n", "operator": "Exists"}, {"key": "x", "operator": "NotIn", "values": ["y"]}]}
    selector = selectors.from_object(wish)
    assert selector.matches(LABELS)
    assert not selector.matches(LABELS | {"none": ""})
    assert selectors.from_object({}).matches({})
    assert not selectors.from_object(None).matches({})
    assert not selectors.from_object(None).is_empty
    with pytest.raises(ApiError, match="is not a valid label selector operator"):
        selectors.from_object({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]})


@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.from_regex(r"[a-z]{0,3}", fullmatch=True)))
def test_maps_match_themselves(labels: dict[str, str]) -> None:
    selector = selectors.from_map(labels)
    assert selector.matches(labels | {"Other": "x"})
    assert selectors.parse_labels(str(selector)).matches(labels)


OBJ = {"metadata": {"name": "x", "namespace": "ns"}}
FIELDS = [
    ("", True), ("metadata.name=x", True), ("metadata.name!=x", False), ("metadata.name==x,metadata.namespace=ns", True),
    ("status.phase=Running", True), ("status.phase!=Running", False), ("spec.nodeName=", True), ("spec.nodeName!=", False),
    (r"spec.odd=a\,b\=c\\", True),
]


@pytest.mark.parametrize(("text", "expected"), FIELDS)
def test_fields(text: str, expected: bool) -> None:
    fields = {"status.phase": "Running", "spec.nodeName": "", "spec.odd": "a,b=c\\"}
    assert selectors.parse_fields(text).matches(OBJ, fields) is expected


def test_wrong_fields() -> None:
    with pytest.raises(ApiError, match=r"field label not supported: spec\.x"):
        selectors.parse_fields("spec.x=1").matches(OBJ, {})
    for text in ("word", r"a=b\c", "a=b=c"):
        with pytest.raises(ApiError):
            selectors.parse_fields(text)


def test_values_of_fields() -> None:
    selector = selectors.parse_fields("metadata.name=x,status.phase!=y")
    assert selector.value_of("metadata.name") == "x"
    assert selector.value_of("status.phase") is None
    assert not selector.is_empty
