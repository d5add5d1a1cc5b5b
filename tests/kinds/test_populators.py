"""The objects that CDI's populators fill claims from: what is refused, what is warned of."""

from __future__ import annotations

import pytest

from vmpod.kinds import VOLUMECLONESOURCE, VOLUMEIMPORTSOURCE, VOLUMEUPLOADSOURCE
from vmpod.kinds.kind import Kind
from vmpod.kinds.parts.populators import populator
from vmpod.model.meta import Object

from .objects import faults

HTTP: Object = {"source": {"http": {"url": "http://x/y"}}}


def made(spec: Object) -> Object:
    return {"metadata": {"name": "x", "namespace": "default"}, "spec": spec}


@pytest.mark.parametrize(("kind", "spec", "field", "words"), [
    (VOLUMEIMPORTSOURCE, {}, "spec.source", "Missing VolumeImport source"),
    (VOLUMEIMPORTSOURCE, {"source": {"upload": {}}}, "spec.source", "Missing VolumeImport source"),
    (VOLUMEIMPORTSOURCE, {"source": {"blank": {}, **HTTP["source"]}}, "spec.source", "Multiple VolumeImport sources"),
    (VOLUMEIMPORTSOURCE, {"source": {"http": {"url": "ftp://x"}}}, "spec.source.http.url", "Invalid source URL scheme"),
    (VOLUMEIMPORTSOURCE, {**HTTP, "contentType": "x"}, "spec.contentType", "ContentType not one of"),
    (VOLUMEUPLOADSOURCE, {"contentType": "x"}, "spec.contentType", "ContentType not one of"),
])  # fmt: skip
def test_what_is_wrong_is_refused(kind: Kind, spec: Object, field: str, words: str) -> None:
    assert any(one.startswith(f"{field}: ") and words in one for one in faults(kind, made(spec)))


@pytest.mark.parametrize("kind", [VOLUMEIMPORTSOURCE, VOLUMEUPLOADSOURCE])
def test_a_spec_stays_as_it_is(kind: Kind) -> None:
    (error,) = kind.validate(made({**HTTP, "contentType": "archive"}), made(HTTP))
    assert f"Cannot update {kind.kind} Spec" in str(error)
    assert kind.validate(made(HTTP), made(HTTP)) == []


def test_what_is_not_acted_on_is_warned_of() -> None:
    spec = {**HTTP, "checkpoints": [{"current": "a", "previous": ""}], "targetClaim": "x"}
    assert VOLUMEIMPORTSOURCE.warnings(made(spec)) == ["spec.checkpoints: not supported yet, ignored"]
    copy = {"source": {"kind": "PersistentVolumeClaim", "name": "x"}, "priorityClassName": "high"}
    assert VOLUMECLONESOURCE.warnings(made(copy)) == ["spec.priorityClassName: not supported yet, ignored"]


@pytest.mark.parametrize(("group", "kind", "expected"), [
    ("cdi.kubevirt.io", "VolumeCloneSource", "VolumeCloneSource"), ("cdi.kubevirt.io", "DataSource", ""),
    ("other.io", "VolumeCloneSource", ""), ("", "PersistentVolumeClaim", ""),
])  # fmt: skip
def test_which_claims_they_fill(group: str, kind: str, expected: str) -> None:
    for key in ("dataSource", "dataSourceRef"):
        assert populator({"spec": {key: {"apiGroup": group, "kind": kind, "name": "x"}}}) == expected
    assert populator({"spec": {}}) == ""
