"""What a DataImportCron may say."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.kinds import DATAIMPORTCRON
from vmpod.model.meta import Object


def cron(url: str = "docker://a/b:1", **spec: Any) -> Object:
    template = {"spec": {"source": {"registry": {"url": url}}, "storage": {}}}
    return {"metadata": {"name": "x", "namespace": "default"}, "spec": {"template": template, "managedDataSource": "y"} | spec}


def told(new: Object, old: Object | None = None) -> list[str]:
    return [f"{error.path}: {error.message}" for error in DATAIMPORTCRON.validate(new, old)]


def test_what_is_right() -> None:
    wanted = DATAIMPORTCRON.default(cron(schedule="30 */6 * * *"))
    assert told(wanted) == []
    assert (wanted["spec"]["importsToKeep"], wanted["spec"]["garbageCollect"]) == (3, "Outdated")
    assert told(cron(schedule="@daily", importsToKeep=1), wanted) == []


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (cron(schedule="often"), "Illegal cron schedule"), (cron(schedule="61 * * * *"), "Illegal cron schedule"),
        (cron(managedDataSource=""), "spec.managedDataSource"), (cron(importsToKeep=-1), "Illegal ImportsToKeep value"),
        (cron(garbageCollect="Now"), "spec.garbageCollect"), (cron(retentionPolicy="Some"), "spec.retentionPolicy"),
        (cron(url=""), "Missing registry source"), (cron(url="oci-archive:///x"), "only docker:// is supported"),
        (cron(template={"spec": {"source": {"http": {"url": "http://x"}}}}), "Missing registry source"),
    ],
)  # fmt: skip
def test_what_is_refused(wanted: Object, why: str) -> None:
    assert any(why in one for one in told(wanted))


@pytest.mark.parametrize("change", [{"managedDataSource": "z"}, {"template": {"spec": {"source": {"registry": {"url": "docker://c:1"}}}}}])
def test_what_may_not_change(change: dict[str, Any]) -> None:
    assert told(cron(**change), cron()) == ["spec: Cannot update DataImportCron Spec"]
