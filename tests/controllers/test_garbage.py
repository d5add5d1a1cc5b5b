"""Owner references obeyed."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpod.controllers import garbage
from vmpod.kinds import CONFIGMAP, KINDS, SECRET
from vmpod.kinds.kind import Kind
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.testing.world import World

GARBAGE: dict[ModuleType, Object] = {garbage: {}}


def put(world: World, name: str, *owners: Object, kind: Kind = CONFIGMAP, blocks: bool = True) -> Object:
    references = [meta.owner_reference(one, controller=False) | {"blockOwnerDeletion": blocks} for one in owners]
    made = {"name": name, "namespace": "default", "ownerReferences": references}
    return world.put(kind, {"metadata": made})


def names(world: World, kind: Kind = CONFIGMAP) -> list[str]:
    return [meta.name(one) for one in world.list(kind)]


def settled(world: World) -> list[str]:
    world.settle(GARBAGE)
    return names(world)


def test_dependents_go_with_their_owner_all_the_way_down() -> None:
    world = World()
    put(world, "grandchild", put(world, "child", put(world, "owner")))
    assert settled(world) == ["child", "grandchild", "owner"]
    world.pass_time(5)
    world.delete(CONFIGMAP, "default", "owner")
    assert settled(world) == []


def test_a_dependent_of_two_stays_with_the_other_and_forgets_the_first() -> None:
    world = World()
    first, second = put(world, "first"), put(world, "second")
    put(world, "child", first, second)
    world.delete(CONFIGMAP, "default", "first")
    assert settled(world) == ["child", "second"]
    child = world.get(CONFIGMAP, "default", "child")
    assert child is not None
    assert [one["name"] for one in meta.owner_references(child)] == ["second"]


def test_another_object_of_the_owners_name_is_not_the_owner() -> None:
    world = World()
    put(world, "child", put(world, "owner"))
    world.delete(CONFIGMAP, "default", "owner")
    put(world, "owner")
    world.pass_time(5)
    assert settled(world) == ["owner"]


def test_a_newborn_waits_for_its_owner_to_be_seen() -> None:
    world = World()
    owner = put(world, "owner")
    world.delete(CONFIGMAP, "default", "owner")
    put(world, "child", owner)
    assert settled(world) == ["child"]
    world.pass_time(3)
    assert settled(world) == []


def test_owners_of_unknown_kinds_are_not_judged() -> None:
    world = World()
    stranger = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x", "uid": "u"}}
    put(world, "child", stranger)
    world.pass_time(5)
    assert settled(world) == ["child"]


def test_a_foreground_deletion_waits_for_dependents_that_block() -> None:
    world = World()
    owner = put(world, "owner")
    child = put(world, "child", owner)
    held = {"metadata": {"finalizers": ["example.com/wait"]}}
    world.update(CONFIGMAP, "default", meta.name(child), held)
    world.delete(CONFIGMAP, "default", "owner", propagation="Foreground")
    assert settled(world) == ["child", "owner"]
    world.update(CONFIGMAP, "default", "child", {"metadata": {"finalizers": None}})
    assert settled(world) == []


def test_one_that_does_not_block_is_not_waited_for() -> None:
    world = World()
    put(world, "child", put(world, "owner"), blocks=False)
    world.update(CONFIGMAP, "default", "child", {"metadata": {"finalizers": ["example.com/wait"]}})
    world.delete(CONFIGMAP, "default", "owner", propagation="Foreground")
    assert settled(world) == ["child"]


def test_an_orphaning_deletion_frees_dependents() -> None:
    world = World()
    put(world, "child", put(world, "owner"))
    put(world, "other", put(world, "second"), kind=SECRET)
    world.delete(CONFIGMAP, "default", "owner", propagation="Orphan")
    world.pass_time(5)
    assert settled(world) == ["child", "second"]
    child = world.get(CONFIGMAP, "default", "child")
    assert child is not None
    assert meta.owner_references(child) == []
    assert names(world, SECRET) == ["other"]


def test_dependents_of_other_kinds_go_too() -> None:
    world = World()
    put(world, "child", put(world, "owner"), kind=SECRET)
    world.pass_time(5)
    world.delete(CONFIGMAP, "default", "owner")
    settled(world)
    assert names(world, SECRET) == []


@pytest.mark.parametrize("gone", [True, False])
def test_a_watch_tells_dependents_only_of_what_is_gone(gone: bool) -> None:
    world = World()
    owner = put(world, "owner")
    put(world, "child", owner)
    if gone:
        world.delete(CONFIGMAP, "default", "owner")
    watch = next(one for one in garbage.watches(KINDS) if one.kind is CONFIGMAP)
    expected = {("configmaps|default", "child")} if gone else set()
    assert watch.concerned(owner, world.cache) == expected


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(st.integers(0, 5), max_size=2, unique=True), min_size=2, max_size=6),
    st.sampled_from(["", "Background", "Foreground"]),
)
def test_what_has_no_owner_left_ends_and_nothing_else(links: list[list[int]], how: str) -> None:
    """Objects in a row own later ones; the first is deleted."""
    world = World()
    made: list[Object] = []
    for number, owners in enumerate(links):
        made.append(put(world, f"o{number}", *(made[index] for index in owners if index < number)))
    world.pass_time(5)
    world.delete(CONFIGMAP, "default", "o0", propagation=how)
    left = set()
    for number, owners in enumerate(links):
        known = [index for index in owners if index < number]
        if number and (not known or any(index in left for index in known)):
            left.add(number)
    assert settled(world) == [f"o{number}" for number in sorted(left)]
