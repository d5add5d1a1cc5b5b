"""Pages that are made from the code say what the code says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from vmpod.kinds import KINDS
from vmpod.kinds.parts.support import ACTED, BLOCKS

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


def test_every_machine_field_is_in_one_of_the_two_tables(script: Script) -> None:
    """What the schema has is either said to be looked at, or listed as ignored."""
    made = script("generate-reference")
    acted = {path for path, _ in made.walk(made.MACHINE, "spec")}
    ignored = set(made.TABLES["machine-ignored"]().replace("- `", "").replace("`", "").split())
    assert not acted & ignored
    assert {"spec.domain.devices.tpm", "spec.dnsConfig"} <= ignored
