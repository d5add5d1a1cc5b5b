"""The disk inside a container disk: an OCI layout's layers are read as streams, top layer first.

Nothing is unpacked to a path that the image names: the one regular file wanted is copied to a path of ours.
KubeVirt's rule: exactly one file in /disk, unless the volume names a path.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from vmpod.base import files
from vmpod.base.errors import Problem

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_FIX = "FROM scratch / ADD --chown=107:107 disk.qcow2 /disk/"


def copy_disk(layout: Path, target: Path, *, path: str = "", image: str = "") -> None:
    """Copy the disk out of the OCI layout folder `layout` to `target`.

    `path` is the file's path in the image; empty: the only file in /disk. Raises Problem when there is none
    or more than one, or a layer is packed in a way that cannot be read.
    """
    what = f"use the image {image or layout}"
    try:
        wanted = path.strip("/") or _only_disk(layout, what)
        for tar in _open_layers(layout, what):
            if _copy_from(tar, wanted, target, what):
                return
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, FileNotFoundError) as error:
        raise Problem(what, f"a layer of it is damaged ({error})", "pull or build the image again", "Damaged") from None
    raise Problem(what, f"there is no file /{wanted} in it", _FIX, "NoDisk")


def architecture(layout: Path) -> str:
    """What an image is for, in Go's words (`amd64`); empty when it does not say. Raises Problem."""
    what = f"read the image at {layout}"
    manifest = _manifest(layout, _json(layout / "index.json", what), what)
    config = manifest.get("config") or {}
    return str(_json(_blob(layout, str(config.get("digest"))), what).get("architecture") or "")


def _only_disk(layout: Path, what: str) -> str:
    """The one file in /disk that the layers together show. Raises Problem when there is none, or more than one."""
    shown: list[str] = []
    hidden: set[str] = set()
    for tar in _open_layers(layout, what):
        members = [(_name(member), member.isreg()) for member in tar]
        shown += [name for name, is_file in members if is_file and _is_in_disk(name) and name not in hidden]
        hidden |= {name for name, _ in members} | {name.replace(f"/{_WHITEOUT}", "/") for name, _ in members}
        if any(name in (f"{_WHITEOUT}disk", f"disk/{_OPAQUE}", _OPAQUE) for name, _ in members):
            break
    if len(shown) > 1:
        why = f"there is more than one file in /disk: {', '.join(sorted(shown))}"
        raise Problem(what, why, "name the file with the volume's `path`", "ManyDisks")
    if not shown:
        raise Problem(what, "there is no disk in /disk", _FIX, "NoDisk")
    return shown[0]


def _name(member: tarfile.TarInfo) -> str:
    return member.name.removeprefix("./").lstrip("/")


def _is_in_disk(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    return folder == "disk" and not file.startswith(_WHITEOUT)


def _copy_from(tar: tarfile.TarFile, wanted: str, target: Path, what: str) -> bool:
    """Copy the file if this layer holds it. Raises Problem when the layer hides it from those beneath."""
    removed = False
    for member in tar:
        name = _name(member)
        if name == wanted and member.isreg():
            files.copy_sparse(cast(BinaryIO, tar.extractfile(member)), target)
            return True
        removed = removed or name == wanted or name in _removals(wanted)
    if removed:
        raise Problem(what, f"a layer removes /{wanted}", _FIX, "NoDisk")
    return False


def _removals(wanted: str) -> set[str]:
    """The entries of a layer that hide a path of the layers beneath (OCI image layer specification: whiteouts)."""
    parts = wanted.split("/")
    folders = ["/".join((*parts[:n], "")) for n in range(len(parts))]
    return {f"{folder}{_WHITEOUT}{part}" for folder, part in zip(folders, parts, strict=True)} | {
        f"{folder}{_OPAQUE}" for folder in folders
    }


def _open_layers(layout: Path, what: str) -> Iterator[tarfile.TarFile]:
    """Each layer as an archive, top first."""
    for blob, media_type in _layers(layout, what):
        with _open_layer(blob, media_type, what) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            yield tar


def _layers(layout: Path, what: str) -> Iterator[tuple[Path, str]]:
    """The layers, top first, with their media types."""
    manifest = _manifest(layout, _json(layout / "index.json", what), what)
    for layer in reversed(manifest.get("layers") or []):
        yield _blob(layout, str(layer["digest"])), str(layer.get("mediaType") or "")


def _manifest(layout: Path, index: dict[str, Any], what: str) -> dict[str, Any]:
    entries = index.get("manifests") or []
    if not entries:
        raise Problem(what, "the image has no manifest", reason="NoDisk")
    found = _json(_blob(layout, str(entries[0]["digest"])), what)
    return _manifest(layout, found, what) if "manifests" in found else found


def _blob(layout: Path, digest: str) -> Path:
    algorithm, _, value = digest.partition(":")
    if not (algorithm.isalnum() and value.isalnum()):
        raise Problem(f"read the image at {layout}", f"{digest!r} is no digest", reason="Damaged")
    return layout / "blobs" / algorithm / value


def _json(path: Path, what: str) -> dict[str, Any]:
    try:
        return cast(dict[str, Any], json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise Problem(what, f"the image's metadata cannot be read: {error}", reason="Damaged") from None


def _open_layer(blob: Path, media_type: str, what: str) -> IO[bytes]:
    with blob.open("rb") as file:
        head = file.read(4)
    if head.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(blob, "rb"))
    if head == b"\x28\xb5\x2f\xfd":
        raise Problem(what, f"its layer is packed with zstd ({media_type})", "build it with gzip layers", "Format")
    return blob.open("rb")
