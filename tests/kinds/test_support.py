"""Every field that is not honoured is told: one is refused by name, another warned about by name. Made from the code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from vmpod.kinds import VIRTUALMACHINE, VIRTUALMACHINEINSTANCE, schema
from vmpod.kinds.parts.machine_support import _MACHINE, machine_warnings, support_errors
from vmpod.kinds.parts.support import ACTED, BLOCKS, OneOf, Refused, Tree, refusals
from vmpod.model.meta import Object

from .objects import faults, vm

PLAIN: dict[str, Any] = {"string": "x", "boolean": True, "integer": 1, "object": {}}


def fields(found: Any) -> tuple[dict[str, Any], bool]:
    """The fields of an object's schema, or of a list's entries; whether it is a list."""
    many = False
    while True:
        if "$ref" in found:
            found = schema._definition(found["$ref"].rpartition("/")[2])
        elif found.get("type") == "array":
            found, many = found["items"], True
        elif found.get("allOf"):
            found = found["allOf"][0]
        else:
            return dict(found.get("properties") or {}), many


def said(found: Any, known: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Every field that the tree has a word about, or none: its path in a manifest, the word, a value for it."""
    inner, many = fields(found)
    if isinstance(known, Mapping) and inner:
        at = f"{path}[0]" if many else path
        for key, below in inner.items():
            for where, word, value in said(below, known.get(key), f"{at}.{key}"):
                yield where, word, value
    else:
        value = PLAIN.get(found.get("type", "object"), "x") if not many else [{}]
        yield path, known, value


def manifest(path: str, value: Any) -> Object:
    """A machine's spec that says nothing but this."""
    for key in reversed(path.removeprefix("spec.").split(".")):
        value = {key.removesuffix("[0]"): [value] if key.endswith("[0]") else value}
    return dict(value)


def matrix() -> list[tuple[str, Any, Any]]:
    name = schema.definition_name(VIRTUALMACHINEINSTANCE)
    assert name is not None
    return list(said(schema._definition(name)["properties"]["spec"], _MACHINE, "spec"))


def of(wanted: type | object) -> list[Any]:
    found = [one for one in matrix() if one[1] is wanted or (isinstance(wanted, type) and isinstance(one[1], wanted))]
    return [pytest.param(*one, id=one[0]) for one in found]


@pytest.mark.parametrize(("path", "known", "value"), of(Refused))
def test_what_is_refused_is_named(path: str, known: Refused, value: Any) -> None:
    spec = manifest(path, value or {"x": 1})
    told = [str(one) for one in support_errors(spec, "spec")]
    assert told == ([f"{path}: Forbidden: {known.why}"] if known.why else [])
    assert machine_warnings(spec, "spec") == []


@pytest.mark.parametrize(("path", "known", "value"), of(OneOf))
def test_values_that_are_not_known_are_refused_by_name(path: str, known: OneOf, value: Any) -> None:
    wrong = not value if isinstance(value, bool) else "other"
    told = [str(one) for one in support_errors(manifest(path, wrong), "spec")]
    assert len(told) == 1 and told[0].startswith(f"{path}: Unsupported value: ")
    assert all(str(one) in told[0] for one in known.values)
    for right in known.values:
        assert list(support_errors(manifest(path, right), "spec")) == []


@pytest.mark.parametrize(("path", "known", "value"), of(BLOCKS))
def test_what_nothing_starts_with_is_warned_about(path: str, known: object, value: Any) -> None:
    assert known is BLOCKS
    assert machine_warnings(manifest(path, value), "spec") == [f"{path}: not supported yet, nothing starts with it"]


@pytest.mark.parametrize(("path", "known", "value"), of(None))
def test_what_is_ignored_is_warned_about(path: str, known: None, value: Any) -> None:
    assert machine_warnings(manifest(path, value or {"x": 1}), "spec") == [f"{path}: not supported yet, ignored"]


@pytest.mark.parametrize(("path", "known", "value"), of(ACTED))
def test_what_is_honoured_is_not_warned_about(path: str, known: object, value: Any) -> None:
    assert known is ACTED
    assert machine_warnings(manifest(path, value), "spec") == [] == support_errors(manifest(path, value), "spec")


def test_a_refused_field_keeps_a_machine_out() -> None:
    """By the kind, not only by the tree: the same faults come with a whole machine."""
    whole = vm()
    whole["spec"]["template"]["spec"]["utilityVolumes"] = [{"name": "a", "claimName": "b"}]
    assert faults(VIRTUALMACHINE, whole) == [
        "spec.template.spec.utilityVolumes: Forbidden: UtilityVolumes feature gate is not enabled in kubevirt-config"]


def test_nothing_is_no_wish() -> None:
    tree: Tree = {"a": Refused("no"), "b": OneOf(("x",))}
    assert list(refusals({"a": False, "b": None}, tree, "spec")) == list(refusals({"a": [], "b": ""}, tree, "spec")) == []
    assert list(refusals("text", tree, "spec")) == []
