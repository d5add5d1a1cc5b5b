"""Pages that are made from the code say what the code says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vmpod.kinds import KINDS
from vmpod.kinds.parts.machine_support import machine_warnings, support_errors
from vmpod.kinds.parts.support import ACTED, BLOCKS, OneOf, Refused
from vmpod.node.translate import machine

Script = Callable[[str], ModuleType]


def test_the_command_line_reference_is_fresh(script: Script) -> None:
    made = script("generate-cli-reference")
    assert made.PAGE.read_text() == made.page(), "stale: run scripts/generate-cli-reference"


def test_every_verb_has_a_section(script: Script) -> None:
    from vmpod.cli.main import _VERBS

    page = script("generate-cli-reference").page()
    assert [verb for verb in _VERBS if f"\n### `vmpod {verb}`\n" not in page] == []


def test_tables_and_links_to_code_are_fresh(script: Script, pages: list[Path]) -> None:
    made = script("generate-reference")
    stale = [page.name for page in pages if made.renewed(page.read_text()) != page.read_text()]
    assert stale == [], "run scripts/generate-reference"


def test_a_moved_function_is_followed_and_a_missing_one_is_an_error(script: Script, tmp_path: Path) -> None:
    made = script("generate-reference")
    page = '[a](../src/vmpod/base/errors.py#L9999 "Problem")'
    line = made.line_of(made.ROOT / "src/vmpod/base/errors.py", "Problem")
    assert made.renewed(page) == f'[a](../src/vmpod/base/errors.py#L{line} "Problem")'
    with pytest.raises(KeyError, match="no Nothing"):
        made.renewed(page.replace("Problem", "Nothing"))


def test_every_kind_is_in_the_api_reference(root: Path) -> None:
    page = (root / "docs/reference/api.md").read_text()
    assert [kind.kind for kind in KINDS if f"| {kind.kind}" not in page] == []


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        ({"a": ACTED}, [("s.a", ACTED)]),
        ({"a": {"b": BLOCKS, "c": {}}}, [("s.a.b", BLOCKS), ("s.a.c", {})]),
        ({"a": frozenset({True})}, [("s.a", frozenset({True}))]),
    ],
)
def test_every_leaf_of_a_tree_has_a_row(script: Script, tree: object, found: object) -> None:
    assert list(script("generate-reference").walk(tree, "s")) == found


def _schema_fields(made: ModuleType) -> list[str]:
    """The fields of a machine that have none below them, found without the tree."""
    name = made.schema.definition_name(made.VIRTUALMACHINEINSTANCE)

    def below(found: Any, path: str) -> list[str]:
        inner = made._fields(found)
        return [one for key, value in inner.items() for one in below(value, f"{path}.{key}")] or [path]

    return below(made.schema._definition(name)["properties"]["spec"], "spec")


def test_every_machine_field_is_in_the_matrix_once(script: Script, root: Path) -> None:
    made = script("generate-reference")
    page = (root / "docs/reference/kubevirt.md").read_text()
    body = page[page.index("## VirtualMachineInstance"):page.index("## DataVolume")]
    rows = [line.split("`")[1] for line in body.splitlines() if line.startswith("| `spec.")]
    assert sorted(rows) == sorted(_schema_fields(made))
    assert len(rows) > 300


def _said(path: str, value: Any) -> Any:
    """A machine's spec that says nothing but the field at `path`."""
    for key in reversed(path.split(".")[1:]):
        value = {key: value}
    return value


def test_what_the_matrix_calls_refused_or_ignored_is_named_when_it_is_said(script: Script) -> None:
    """And nothing else is."""
    for path, (verdict, known) in script("generate-reference").matrix().items():
        value = {"something": "1"} if isinstance(known, dict) else "something"
        said = _said(path, value)
        told = [*machine_warnings(said, "spec"), *(str(one) for one in support_errors(said, "spec"))]
        named = [one for one in told if f"{path}.something".startswith(one.partition(": ")[0])]
        expected = verdict in ("refused", "ignored") or isinstance(known, (frozenset, dict, OneOf))
        if isinstance(known, Refused) and not known.why:  # a rule of its own names it: tests/kinds/test_refusals.py
            expected = False
        assert (len(told), len(named)) == ((1, 1) if expected else (0, 0)), (path, told)


@pytest.mark.parametrize("path", ["cpu.realtime", "devices.gpus", "devices.hostDevices",
                                  "launchSecurity"])
def test_a_refused_field_stops_its_machine(script: Script, path: str) -> None:
    """The driver has a reason for each field of the domain that the matrix calls refused."""
    reasons = {".".join(where) for where, _ in machine._REFUSED}
    assert path in reasons
    refused = [one for one, (verdict, _) in script("generate-reference").matrix().items() if verdict == "refused"]
    assert any(one.startswith(f"spec.domain.{path}") for one in refused)
