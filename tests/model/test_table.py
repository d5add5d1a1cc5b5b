from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vmpod.model import table
from vmpod.model.table import AGE, NAME, Column

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
S, M, H, D = 1, 60, 3600, 86400
# The cases of k8s.io/apimachinery/pkg/util/duration, and the edges of each step.
DURATIONS = [
    (S, "1s"), (70 * S, "70s"), (119 * S, "119s"), (120 * S, "2m"), (190 * S, "3m10s"), (9 * M + 59, "9m59s"),
    (10 * M, "10m"), (10 * M + 30, "10m"), (70 * M, "70m"), (179 * M, "179m"), (180 * M, "3h"), (3 * H + 5 * M, "3h5m"),
    (7 * H + 59 * M, "7h59m"), (8 * H, "8h"), (47 * H, "47h"), (48 * H, "2d"), (49 * H, "2d1h"), (7 * D + 23 * H, "7d23h"),
    (8 * D + 2 * H, "8d"), (367 * D, "367d"), (729 * D, "729d"), (2 * 365 * D, "2y"), (365 * 2 * D + 25 * H, "2y1d"),
    (365 * 8 * D - H, "7y364d"), (365 * 8 * D + 2 * H, "8y"), (0, "0s"), (-1, "0s"), (-1.9, "0s"), (-2, "<invalid>"),
    (1.999, "1s"), (0.5, "0s"),
]


@pytest.mark.parametrize(("seconds", "text"), DURATIONS)
def test_durations(seconds: float, text: str) -> None:
    assert table.human_duration(seconds) == text
    assert table.age(NOW - timedelta(seconds=seconds), NOW) == text


def test_ages() -> None:
    assert table.age("2026-01-02T03:00:00Z", NOW) == "4m5s"
    assert table.age(None, NOW) == "<unknown>"
    assert table.age("", NOW) == "<unknown>"
    assert table.age("yesterday", NOW) == "<invalid>"


OBJ: dict[str, Any] = {
    "apiVersion": "v1", "kind": "Sample",
    "metadata": {"name": "x", "creationTimestamp": "2026-01-02T03:03:05Z"},
    "spec": {"n": 3, "on": True, "list": [{"ip": "10.0.0.1"}], "map": {"a": 1}},
}


@pytest.mark.parametrize(("column", "cell"), [
    (NAME, "x"), (AGE, "60s"), (Column("N", "integer", "spec.n"), 3), (Column("N", path="spec.n"), "3"),
    (Column("On", path="spec.on"), "true"), (Column("On", "boolean", "spec.on"), True), (Column("IP", path="spec.list[0].ip"), "10.0.0.1"),
    (Column("None", path="spec.none"), ""), (Column("None", "integer", "spec.none"), None), (Column("Map", path="spec.map"), '{"a":1}'),
    (Column("Own", value=lambda obj, now: f"{obj['spec']['n']} of {now.year}"), "3 of 2026"), (Column("Ever", "date", "spec.none"), "<unknown>"),
])
def test_cells(column: Column, cell: object) -> None:
    assert column.cell(OBJ, NOW) == cell


def test_render() -> None:
    found = table.render((NAME, Column("Wide", priority=1, description="more")), [OBJ], NOW, revision="7")
    assert found["kind"] == "Table"
    assert found["apiVersion"] == "meta.k8s.io/v1"
    assert found["metadata"] == {"resourceVersion": "7"}
    assert found["columnDefinitions"][0] == {"name": "Name", "type": "string", "format": "name", "priority": 0,
                                             "description": NAME.description}
    assert found["columnDefinitions"][1]["priority"] == 1
    [row] = found["rows"]
    assert row["cells"] == ["x", ""]
    assert row["object"] == {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": OBJ["metadata"]}


def test_what_rides_along() -> None:
    assert table.render((NAME,), [OBJ], NOW, "Object")["rows"][0]["object"] == OBJ
    assert "object" not in table.render((NAME,), [OBJ], NOW, "None")["rows"][0]
    assert table.render((NAME,), [OBJ], NOW, headers=False)["columnDefinitions"] == []
