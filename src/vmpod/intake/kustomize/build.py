"""Build a kustomization: gather resources, generate, patch, transform, then let names follow.

The order is that of kustomize's own target (api/internal/target/kusttarget.go).
"""

from __future__ import annotations

from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.intake.documents import parse, text_of
from vmpod.intake.kustomize import generators, patches, references, transforms
from vmpod.intake.kustomize.item import Item
from vmpod.intake.kustomize.root import load_root, root_file
from vmpod.model.meta import Object, clone, name


def build(folder: Path) -> list[Object]:
    """The objects of the kustomization in a folder. Raises Problem that names the file and what is wrong in it."""
    items = _level(folder.resolve(), [], (), "Kustomization")
    before = references.names(items)
    for item in items:
        if item.hashed:
            item.rename(f"{name(item.obj)}-{generators.digest(item.obj)}")
    references.follow(items, before)
    return [generators.tidied(item.obj) for item in items]


def _level(folder: Path, given: list[Item], above: tuple[Path, ...], kind: str) -> list[Item]:
    """The items of one kustomization. A component works on those that it is given, others start from none."""
    if folder in above:
        raise Problem(f"build {folder}", f"it is a part of itself, through {above[-1]}", "", "Cycle")
    said = load_root(folder)
    if (found := said.get("kind", "Kustomization")) != kind:
        raise Problem(f"build {folder}", f"it is a {found}, where a {kind} is expected", "", "Kind")
    items = [*given, *_resources(folder, said, above)]
    for component in said.get("components") or ():
        items = _level(_inside(folder, component), items, (*above, folder), "Component")
    items = generators.add(items, said, folder)
    items = patches.apply_all(items, said, folder)
    before = references.names(items)
    transforms.apply_all(items, said, folder)
    references.follow(items, before)
    _check_once(items, folder)
    return items


def _resources(folder: Path, said: Object, above: tuple[Path, ...]) -> list[Item]:
    entries = [*(said.get("resources") or ()), *(said.get("bases") or ())]
    return [item for entry in entries for item in _entry(folder, entry, above)]


def _entry(folder: Path, entry: str, above: tuple[Path, ...]) -> list[Item]:
    place = _inside(folder, entry)
    if place.is_dir():
        if root_file(place) is None:
            raise Problem(f"build {folder}", f"the folder {entry} among its resources has no kustomization.yaml",
                          f"ls {place}", "Missing")  # fmt: skip
        return _level(place, [], (*above, folder), "Kustomization")
    generators.check_within(folder, place)
    return [Item(clone(one.obj), one.source) for one in parse(text_of(place), str(place))]


def _inside(folder: Path, entry: str) -> Path:
    """A file or folder of this machine. Raises Problem for a URL: nothing is fetched."""
    place = folder / entry
    if not place.exists() and _is_remote(entry):
        why = f"the resource {entry} is on the network, and nothing is fetched from there"
        raise Problem(f"build {folder}", why, f"kubectl kustomize {folder} | vmpod up -", "Remote")
    return place.resolve()


def _is_remote(entry: str) -> bool:
    return "://" in entry or "?ref=" in entry or entry.startswith(("git@", "github.com/", "gitlab.com/"))


def _check_once(items: list[Item], folder: Path) -> None:
    seen: dict[tuple[str, str, str, str], Item] = {}
    for item in items:
        if (other := seen.setdefault(item.identity, item)) is not item:
            why = f"{item.title} is there twice: {other.source} and {item.source}"
            raise Problem(f"build {folder}", why, "remove one of the two, or patch it", "Twice")
