"""Links lead somewhere, and pages keep to the words of the project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_LINK = re.compile(r'\]\(([^)\s]+)(?: "[^"]*")?\)|click \w+ "([^"]+)"')
_CODE = re.compile(r"```.*?```", re.DOTALL)
_PRAISE = ("powerful", "blazing", "seamless", "cutting-edge", "world-class", "effortless", "revolutionary", "simply")


def _links(page: Path) -> list[str]:
    return [first or second for first, second in _LINK.findall(page.read_text())]


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_link_leads_to_a_file_or_a_heading(pages: list[Path]) -> None:
    lost = []
    for page in pages:
        for link in _links(page):
            if link.startswith(("http://", "https://")):
                continue
            name, _, part = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            headings = [_anchor(text) for text in re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)] if (
                target.suffix == ".md" and target.exists()) else []
            if not target.exists() or (headings and part and part not in headings):
                lost.append(f"{page.name}: {link}")
    assert lost == []


def test_the_flow_links_each_hop_to_code(root: Path) -> None:
    page = (root / "docs/explanation/flow.md").read_text()
    boxes = set(re.findall(r"(?:^|\s)(\w+)\[\"", page))
    assert boxes == set(re.findall(r"click (\w+) ", page))
    assert len(re.findall(r"src/vmpod/\S+\.py#L\d+", page)) > len(boxes)


def test_every_page_is_reached_from_the_index(root: Path, pages: list[Path]) -> None:
    index = root / "docs/README.md"
    assert index in {root / link.partition("#")[0] for link in _links(root / "README.md")}
    reached = {(index.parent / link.partition("#")[0]).resolve() for link in _links(index)}
    wanted = [page for page in pages if page.parent.name in ("tutorial", "how-to", "explanation", "reference")]
    assert [page.name for page in wanted if page.resolve() not in reached] == []


@pytest.mark.parametrize("word", _PRAISE)
def test_no_praise(pages: list[Path], word: str) -> None:
    assert [page.name for page in pages if re.search(rf"\b{word}\b", page.read_text(), re.IGNORECASE)] == []


def test_decisions_are_numbered_and_shaped(root: Path) -> None:
    records = sorted((root / "docs/decisions").glob("*.md"))
    numbers = [int(record.name[:4]) for record in records]
    assert numbers[0] == 1 and len(set(numbers)) == len(numbers)
    for record in records:
        text = record.read_text()
        assert text.startswith(f"# {int(record.name[:4])}. "), record.name
        assert all(f"\n## {part}" in text for part in ("Context", "Choice", "Refused")), record.name


def test_no_placeholder_is_left(pages: list[Path]) -> None:
    left = [page.name for page in pages if re.search(r"@@|\bTODO\b|\bTBD\b", page.read_text().replace("no TODO", ""))]
    assert left == []


def test_no_path_of_one_machine_is_shown(pages: list[Path]) -> None:
    own = re.compile(r"/tmp/|/work/|/opt/venv|/root/(?!\s)")
    assert [page.name for page in pages if own.search(page.read_text())] == []
