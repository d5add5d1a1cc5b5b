"""kubectl's YAML, with kubectl itself as the oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.base.errors import Problem
from vmpod.model import yaml

if TYPE_CHECKING:
    from tests.conftest import Kubectl

HEAD = "apiVersion: example.org/v1\nkind: Sample\nmetadata:\n  name: x\nspec:\n"

SCALARS: list[tuple[str, Any]] = [
    ("yes", True), ("no", False), ("on", True), ("off", False), ("y", True), ("n", False), ("Y", True), ("True", True),
    ("tRUE", "tRUE"), ("0644", 420), ("0o644", 420), ("0x1F", 31), ("0b11", 3), ("22:22", "22:22"),
    ("1:30:00", "1:30:00"), ("2020-01-01", "2020-01-01"), ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
    ("1e3", 1000), ("1.0", 1), ("1.5", 1.5), ("-1.5e-3", -0.0015), ("0789", 789), ("08", 8), ("1_000", 1000),
    ("+5", 5), ("-0644", -420), ("=", "="), ("~", None), ("null", None), ("Null", None), ("''", ""), ("'1'", "1"),
    ('"yes"', "yes"), ("!!str 1", "1"), ("!!binary aGVsbG8=", "hello"), ("!foo bar", "bar"), ("1.2.3", "1.2.3"),
    ("v1", "v1"), (".5", 0.5), ("1e400", "1e400"), ("._5", "._5"), ("5.", 5), ("1e400x", "1e400x"), ("0.", 0), ("a#b", "a#b"),
    ("1Gi", "1Gi"), ("100m", "100m"), ("1e-2", 0.01), ("0x", "0x"), ("0o9", "0o9"), ("-.5", -0.5), ("{a: 1}", {"a": 1}),
    ("[1, two, 'x']", [1, "two", "x"]), ("!!int '7'", 7), ("!!float 7", 7), ("12e03", 12000), ("._", "._"),
    ("0_7", 7), ("9223372036854775807", 9223372036854775807), ("{yes: 1, 2: b, 1.5: c}", {"true": 1, "2": "b", "1.5": "c"}),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars(text: str, value: Any) -> None:
    found = yaml.load(f"v: {text}")["v"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.host
def test_scalars_as_kubectl(kubectl: Kubectl, tmp_path: Any) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(HEAD + "".join(f"  k{i}: {text}\n" for i, (text, _) in enumerate(SCALARS)))
    spec = kubectl.read("annotate", "--local", "-f", str(file), "a=b")["spec"]
    assert {text: spec[f"k{i}"] for i, (text, _) in enumerate(SCALARS)} == dict(SCALARS)


@pytest.mark.parametrize("text", [".inf", ".nan", "!!int x", "!!float x", "@", "`", "*x", "}", "a: b"])
def test_refused(text: str) -> None:
    with pytest.raises(Problem, match=r"line 7"):
        yaml.load_all(f"{HEAD}  a: 1\n  v: {text}\n", "x.yaml")


@pytest.mark.host
@pytest.mark.parametrize("text", [".inf", "{~: 1}", "[", "'", "!!int x", "-"])
def test_refused_as_kubectl(kubectl: Kubectl, tmp_path: Any, text: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(f"{HEAD}  v: {text}\n")
    assert kubectl.run("annotate", "--local", "-f", str(file), "a=b", check=False).returncode != 0
    with pytest.raises(Problem):
        yaml.load_all(file.read_text())


def test_documents_know_their_lines() -> None:
    text = "# first\na: 1\n---\n---\n# second\n\nb: 2\n...\n---\nc: 3\n"
    assert [(one.obj, one.line) for one in yaml.load_all(text)] == [({"a": 1}, 2), ({"b": 2}, 7), ({"c": 3}, 10)]


def test_json_streams() -> None:
    assert [one.obj for one in yaml.load_all('{"a": "0644"}\n\n{"b": [null]}')] == [{"a": "0644"}, {"b": [None]}]
    assert yaml.load("{a: 0644}") == {"a": 420}


def test_aliases_are_not_shared() -> None:
    found = yaml.load("base: &b {x: [1]}\none: *b\ntwo: {<<: *b, z: 2}")
    found["one"]["x"].append(2)
    assert found["base"] == {"x": [1]}
    assert found["two"] == {"x": [1], "z": 2}


def test_unfolding_has_a_limit() -> None:
    layers = "\n".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 9))
    with pytest.raises(Problem, match="aliasing"):
        yaml.load(f"l0: &l0 [1]\n{layers}")


def test_last_of_equal_keys_wins() -> None:
    assert yaml.load("a: 1\na: 2") == {"a": 2}


@pytest.mark.parametrize(("text", "why"), [("a: 1\n b: 2", "line 2"), ("- 1", "an object is expected"), ("word", "object")])
def test_errors_name_file_and_line(text: str, why: str) -> None:
    with pytest.raises(Problem, match=rf"cannot read x\.yaml: x\.yaml, .*{why}"):
        yaml.load_all(text, "x.yaml")


STRINGS = [
    "80", "1.5", "yes", "n", "null", "~", "", "0644", "1:30", "2020-01-01T00:00:00Z", "a: b", "# no", "two\nlines\n",
    "two\nlines", " lead", "trail ", "ü", "x" * 200, "word " * 40, "'", '"', "@a", "- a", "1e3", "0x1f", "=", "<<",
    "tab\there", "*a", "&a", "!a", "%a", "|", "{", "a,b", "[x]", "\n", "a\n\nb\n", "é\n\x07", "v1", "1Gi", "a:", "?", ".",
]


@pytest.mark.parametrize("text", STRINGS)
def test_dump_keeps_strings(text: str) -> None:
    assert yaml.load(yaml.dump({"v": text, text or "k": 1})) == {"v": text, text or "k": 1}


@pytest.mark.host
def test_dump_as_kubectl(kubectl: Kubectl, tmp_path: Any) -> None:
    obj: dict[str, Any] = {
        "apiVersion": "example.org/v1", "kind": "Sample", "metadata": {"name": "x", "annotations": {"a": "b"}},
        "spec": {f"k{i}": text for i, text in enumerate(STRINGS) if text not in ("<<", "\n", "é\n\x07")},
    }
    obj["spec"] |= {"list": [1, {"a": [1, 2], "b": {}}, []], "k-1": 1, "ka": 1, "K": 1, "k01": 1, "k.": 1, "deep": {"x": {"y": None, "z": True, "f": 1.5}}}
    file = tmp_path / "x.yaml"
    file.write_text(yaml.dump(obj))
    shown = kubectl.run("annotate", "--local", "-f", str(file), "a=b", "--overwrite", "-o", "yaml").stdout
    assert yaml.dump(obj) == shown


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=6), JSON, max_size=4))
def test_round_trip(obj: dict[str, Any]) -> None:
    assert yaml.load(yaml.dump(obj)) == obj


def test_dump_all() -> None:
    assert yaml.dump_all([{"a": 1}, {"b": 2}]) == "a: 1\n---\nb: 2\n"
