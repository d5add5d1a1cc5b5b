"""Which objects manifests name, and the patch that makes them so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vmpod.base.errors import Problem
from vmpod.cli import apply
from vmpod.intake.documents import Manifest


def manifest(kind: str, name: str, version: str = "v1", **more: Any) -> Manifest:
    return Manifest({"apiVersion": version, "kind": kind, "metadata": {"name": name, **more}}, f"{name}.yaml:1")


def test_what_others_need_comes_first() -> None:
    found = apply.resolve([manifest("Deployment", "d", "apps/v1"), manifest("Secret", "s"), manifest("Namespace", "n")], "x")
    assert [one.kind.kind for one in found] == ["Namespace", "Secret", "Deployment"]


def test_namespaces_are_filled_in_where_there_is_one() -> None:
    named, plain = apply.resolve([manifest("Secret", "a", namespace="own"), manifest("Secret", "b")], "given")
    (wide,) = apply.resolve([manifest("PersistentVolume", "c")], "given")
    assert named.obj["metadata"]["namespace"] == "own"
    assert plain.obj["metadata"]["namespace"] == "given"
    assert "namespace" not in wide.obj["metadata"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (Manifest({"kind": "Pod"}, "f:1"), "kind and apiVersion must be set"),
        (manifest("Fridge", "x"), "no kind 'Fridge'"),
        (manifest("Deployment", "x", "apps/v1beta1"), "no kind 'Deployment' in version 'apps/v1beta1'"),
        (Manifest({"apiVersion": "v1", "kind": "Pod"}, "f:1"), "metadata.name is not set"),
        (Manifest({"apiVersion": "v1", "kind": "Pod", "metadata": []}, "f:1"), "metadata.name is not set"),
        (Manifest({"apiVersion": "v1", "kind": "Pod", "metadata": "x"}, "f:1"), "metadata must be a map"),
    ],
)
def test_what_cannot_be_applied(wrong: Manifest, says: str) -> None:
    with pytest.raises(Problem, match=says):
        apply.resolve([wrong], "default")


def test_an_object_given_twice_names_both_places() -> None:
    with pytest.raises(Problem, match=r"secret/a is there twice: a.yaml:1 and a.yaml:1"):
        apply.resolve([manifest("Secret", "a"), manifest("Secret", "a")], "default")
    apply.resolve([manifest("Secret", "a"), manifest("Secret", "a", namespace="other")], "default")


def test_titles_name_the_namespace_when_it_is_not_the_default() -> None:
    (one,) = apply.resolve([manifest("Deployment", "a", "apps/v1", namespace="other")], "default")
    assert one.title == "deployment.apps/a -n other"


def live(wanted: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What the server holds after `wanted` was applied."""
    text = json.dumps(wanted, separators=(",", ":"), sort_keys=True) + "\n"
    meta = {**wanted["metadata"], "uid": "u", "annotations": {apply.LAST_APPLIED: text}}
    return {**wanted, "metadata": meta, **more}


def test_nothing_to_change() -> None:
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    assert apply.change(live(wanted), wanted) == {}


def test_a_dropped_field_is_removed_and_remembered() -> None:
    before = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v", "old": "x"}}
    wanted = {**before, "data": {"k": "v"}}
    patch = apply.change(live(before), wanted)
    assert patch["data"] == {"old": None}
    remembered = {**wanted, "metadata": {"name": "a", "annotations": {}}}  # as kubectl writes it
    assert json.loads(patch["metadata"]["annotations"][apply.LAST_APPLIED]) == remembered


def test_another_version_of_the_kind_is_no_change_of_the_version() -> None:
    wanted = {"apiVersion": "kubevirt.io/v1alpha3", "kind": "VirtualMachine", "metadata": {"name": "a"}, "spec": {}}
    assert apply.change({**live(wanted), "apiVersion": "kubevirt.io/v1"}, wanted) == {}


@pytest.mark.parametrize(
    ("header", "text"),
    [('299 - "unknown field \\"spec.x\\""', 'unknown field "spec.x"'), ("plain words", "plain words")],
)
def test_warning_headers_become_their_text(header: str, text: str) -> None:
    assert apply._bare(header) == text
