"""A container disk as KubeVirt expects it: an image from nothing with one file in /disk that belongs to QEMU's user.

Written as an OCI image layout (OCI image specification: image-layout.md, manifest.md, config.md).
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import IO, Any

_QEMU = 107
_BLOCK = 1 << 20
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class _Hashing:
    """A file that is hashed while it is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, block: bytes) -> int:
        self.digest.update(block)
        return self._file.write(block)


def write(disk: Path, name: str, layout: Path, *, reference: str = "latest", architecture: str = "amd64") -> str:
    """Make an OCI layout in the empty folder `layout` that holds `disk` as /disk/NAME; the digest of its manifest.

    The layer is not packed: disks are packed inside, or hardly can be. One disk gives one digest. Raises OSError.
    """
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layer = _layer(disk, name, blobs)
    config = {"architecture": architecture, "os": "linux", "config": {},
              "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}  # fmt: skip
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": _blob(blobs, config, _CONFIG), "layers": [layer]}
    entry = _blob(blobs, manifest, _MANIFEST) | {"annotations": {"org.opencontainers.image.ref.name": reference}}
    _store(layout / "index.json", {"schemaVersion": 2, "manifests": [entry]})
    _store(layout / "oci-layout", {"imageLayoutVersion": "1.0.0"})
    return str(entry["digest"])


def _layer(disk: Path, name: str, blobs: Path) -> dict[str, Any]:
    fresh = blobs / "layer"
    with fresh.open("wb") as file:
        out = _Hashing(file)
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT) as tar:  # type: ignore[call-overload]
            tar.addfile(_entry("disk", tarfile.DIRTYPE, 0o755, 0))
            with disk.open("rb") as content:
                tar.addfile(_entry(f"disk/{name}", tarfile.REGTYPE, 0o440, disk.stat().st_size), content)
        size = file.tell()
    digest = out.digest.hexdigest()
    fresh.rename(blobs / digest)
    return {"mediaType": _LAYER, "digest": f"sha256:{digest}", "size": size}


def _entry(name: str, kind: bytes, mode: int, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size = kind, mode, size
    entry.uid = entry.gid = _QEMU
    return entry


def _blob(blobs: Path, said: dict[str, Any], media_type: str) -> dict[str, Any]:
    raw = json.dumps(said, sort_keys=True).encode()
    digest = hashlib.sha256(raw).hexdigest()
    (blobs / digest).write_bytes(raw)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(raw)}


def _store(path: Path, said: dict[str, Any]) -> None:
    path.write_text(json.dumps(said))
