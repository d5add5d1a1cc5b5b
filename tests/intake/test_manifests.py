"""Manifests out of files and folders."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from vmpod.base.errors import Problem
from vmpod.intake import manifests

ONE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
TWO = "# about two\n---\n" + ONE + "---\n" + ONE.replace("name: a", "name: b")
LIST = '{"apiVersion": "v1", "kind": "List", "items": [{"kind": "A"}, {"kind": "B"}]}'


def names(*paths: str) -> list[str]:
    return [str(one.obj["metadata"]["name"]) for one in manifests.read(paths)]


def test_a_file_with_several_objects_names_their_lines(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(TWO)
    found = manifests.read([str(tmp_path / "two.yaml")])
    assert [one.source.rpartition(":")[2] for one in found] == ["3", "7"]


def test_a_folder_gives_its_own_manifests_in_order(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text(ONE.replace("name: a", "name: b"))
    (tmp_path / "a.yaml").write_text(ONE)
    (tmp_path / "notes.txt").write_text("no manifest")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "c.yaml").write_text("no: [yaml")
    assert names(str(tmp_path)) == ["a", "b"]


def test_lists_are_taken_apart(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(LIST)
    assert [one.obj["kind"] for one in manifests.read([str(tmp_path / "list.json")])] == ["A", "B"]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(ONE))
    assert names("-") == ["a"]


def test_a_kustomization_by_its_folder_and_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(ONE)
    (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]\nnamePrefix: x-\n")
    assert names(str(tmp_path)) == names(str(tmp_path / "kustomization.yaml")) == ["x-a"]


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("missing.yaml", None, "No such file or directory"),
        ("broken.yaml", b"a: 1\nb: [\n", "broken.yaml, line 3"),
        ("binary.yaml", b"\xff\xfe\x00", "it is not text"),
        ("text.yaml", b"just words", "an object is expected"),
        ("empty.yaml", b"# nothing\n", "there is no object in it"),
        ("odd.yaml", b"kind: List\nitems: [1]\n", "an item of the list is no object"),
        ("", None, "has no \\*.yaml"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, file: str, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(Problem, match=says):
        manifests.read([str(tmp_path / file)])


def test_nothing_is_fetched() -> None:
    with pytest.raises(Problem, match="nothing is fetched from a network"):
        manifests.read(["https://example.org/a.yaml"])
