"""DataImportCron: an import for each image found, a DataSource that names the newest, older ones let go."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.controllers import dataimportcron as controller
from vmpod.controllers.dataimportcron import pinned
from vmpod.kinds import DATAIMPORTCRON, DATASOURCE, DATAVOLUME
from vmpod.kinds.dataimportcron import DESIRED, LAST
from vmpod.model import conditions, meta
from vmpod.model.meta import Object
from vmpod.testing.world import World

KEY = ("golden", "debian")


def cron(**spec: Any) -> Object:
    source = {"registry": {"url": "docker://registry.example:5000/a/debian:12", "secretRef": "pull"}}
    storage = {"resources": {"requests": {"storage": "1Gi"}}}
    given = {"template": {"metadata": {"labels": {"os": "debian"}}, "spec": {"source": source, "storage": storage}},
             "schedule": "0 * * * *", "managedDataSource": "deb"}  # fmt: skip
    return {"metadata": {"name": KEY[1], "namespace": KEY[0]}, "spec": given | spec}


def found(world: World, digit: str) -> None:
    """What the node notes."""
    marks = {DESIRED: "sha256:" + digit * 64, LAST: "2026-01-01T00:00:00Z"}
    world.update(DATAIMPORTCRON, *KEY, {"metadata": {"annotations": marks}})
    world.settle({controller: {}})


def filled(world: World, digit: str, phase: str = "Succeeded") -> None:
    world.update(DATAVOLUME, KEY[0], f"deb-{digit * 12}", {"status": {"phase": phase}}, "status")
    world.settle({controller: {}})
    world.pass_time(60)


def state(world: World) -> tuple[list[str], str, Object]:
    """The imports, the one that the DataSource names, and the status."""
    source = world.get(DATASOURCE, KEY[0], "deb")
    named = meta.get(source, "spec", "source", "pvc", "name", default="")
    return [meta.name(one) for one in world.list(DATAVOLUME)], str(named), dict(meta.get(world.get(DATAIMPORTCRON, *KEY), "status"))


def test_nothing_is_made_before_an_image_was_found() -> None:
    world = World()
    world.put(DATAIMPORTCRON, cron())
    world.settle({controller: {}})
    assert state(world)[:2] == ([], "")
    assert (conditions.find(state(world)[2]["conditions"], "UpToDate") or {})["reason"] == "NoDigest"


def test_each_image_is_imported_and_named_once_it_is_there() -> None:
    world = World()
    world.put(DATAIMPORTCRON, cron())
    found(world, "a")
    made = world.get(DATAVOLUME, "golden", "deb-" + "a" * 12) or {}
    assert made["spec"]["source"]["registry"] == {"url": "docker://registry.example:5000/a/debian@sha256:" + "a" * 64, "secretRef": "pull"}
    assert meta.labels(made) == {"os": "debian", "cdi.kubevirt.io/dataImportCron": "debian"}
    assert meta.controller_of(made) is None
    filled(world, "a", "ImportInProgress")
    assert conditions.is_true(state(world)[2]["conditions"], "Progressing")
    filled(world, "a")
    found(world, "b")
    assert state(world)[:2] == (["deb-" + "a" * 12, "deb-" + "b" * 12], "deb-" + "a" * 12)
    filled(world, "b")
    assert state(world)[1] == "deb-" + "b" * 12
    told = state(world)[2]
    assert conditions.is_true(told["conditions"], "UpToDate") and not conditions.is_true(told["conditions"], "Progressing")
    assert told["currentImports"] == [{"DataVolumeName": "deb-" + "b" * 12, "Digest": "sha256:" + "b" * 64}]
    assert told["lastImportedPVC"] == {"name": "deb-" + "b" * 12, "namespace": "golden"}
    assert told["lastExecutionTimestamp"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(("spec", "left"), [
    ({"importsToKeep": 2}, "cd"), ({"importsToKeep": 1}, "d"), ({"importsToKeep": 0}, "d"), ({}, "bcd"), ({"garbageCollect": "Never"}, "abcd")])  # fmt: skip
def test_older_imports_go(spec: dict[str, Any], left: str) -> None:
    world = World()
    world.put(DATAIMPORTCRON, cron(**spec))
    for digit in "abcd":
        found(world, digit)
        filled(world, digit)
    assert state(world)[0] == [f"deb-{digit * 12}" for digit in left]
    assert state(world)[1] == "deb-" + "d" * 12


def test_what_was_imported_may_go_with_its_cron() -> None:
    world = World()
    world.put(DATAIMPORTCRON, cron(retentionPolicy="None"))
    found(world, "a")
    for kind, name in ((DATAVOLUME, "deb-" + "a" * 12), (DATASOURCE, "deb")):
        assert meta.controller_of(world.get(kind, "golden", name) or {}) is not None


def test_the_data_source_of_somebody_else_is_left_alone() -> None:
    world = World()
    world.put(DATASOURCE, {"metadata": {"name": "deb", "namespace": "golden"}, "spec": {"source": {"pvc": {"name": "own", "namespace": "golden"}}}})
    world.put(DATAIMPORTCRON, cron())
    found(world, "a")
    filled(world, "a")
    assert state(world)[1] == "own"


@pytest.mark.parametrize(("url", "expected"), [
    ("docker://debian", "docker://debian@d"), ("docker://r:5000/a/b:1", "docker://r:5000/a/b@d"), ("docker://a/b@sha256:1", "docker://a/b@d")])  # fmt: skip
def test_an_image_by_its_digest(url: str, expected: str) -> None:
    assert pinned(url, "d") == expected
