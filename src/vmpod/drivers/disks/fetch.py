"""Images from elsewhere: over HTTP, and out of gzip, xz or bzip2."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import http.client
import lzma
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from backports import zstd

from vmpod.base import files
from vmpod.base.errors import Problem
from vmpod.drivers.disks import formats

_CHUNK = 1 << 20
_TIMEOUT_S = 60
_RESERVE_BYTES = 64 << 20  # the engine's own database must still be written when an image has filled the rest
_CHECKSUMS = ("md5", "sha1", "sha256", "sha512")  # CDI's
_OPENERS: dict[str, Callable[[Path], Any]] = {"gzip": gzip.open, "xz": lzma.open, "bzip2": bz2.open, "zstd": zstd.open}


@dataclass(frozen=True)
class Access:
    """What a server wants to know of us, and by which authorities (PEM; empty: the system's) it is known."""

    username: str = ""
    password: str = ""
    authorities: str = ""


def download(url: str, target: Path, *, checksum: str, progress: Callable[[dict[str, Any]], None],
             access: Access = Access()) -> Path:  # fmt: skip
    """Fetch an http or https URL to `target`; `checksum` is `ALGORITHM:HEX` or empty. Raises Problem."""
    what = f"download {url}"
    if not url.startswith(("http://", "https://")):
        raise Problem(what, "only http and https are understood", reason="Unsupported")
    algorithm, _, expected = (checksum or "sha256:").partition(":")
    if algorithm not in _CHECKSUMS or (checksum and not expected):
        why = f"the checksum {checksum!r} does not begin with one of {', '.join(f'{one}:' for one in _CHECKSUMS)}"
        raise Problem(what, why, "write it as sha256:…", "Checksum")
    digest = hashlib.new(algorithm)
    try:
        with _open(url, access) as answer, target.open("wb") as out:
            length = int(answer.headers.get("Content-Length") or 0)
            check_room(what, target.parent, length)
            done = _copy(answer, out, digest.update, length, progress)
    except urllib.error.HTTPError as error:
        raise Problem(what, f"the server answered {error.code} {error.reason}", f"curl -I {url}", "Http") from None
    except urllib.error.URLError as error:
        raise Problem(what, str(error.reason), f"curl -I {url}", "Http") from None
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise Problem(what, str(error) or type(error).__name__, f"curl -I {url}", "Http") from None
    if length and done != length:
        raise Problem(what, f"it ended after {done} of {length} bytes", "try again", "Http")
    if expected and digest.hexdigest() != expected.lower():
        why = f"its {algorithm} is {digest.hexdigest()}, not {expected}"
        raise Problem(what, why, "correct the checksum or the URL", "Checksum")
    return target


def check_room(what: str, folder: Path, wanted_bytes: int) -> None:
    """Raise Problem when `wanted_bytes` more would fill the disk of `folder`: better before than half-way."""
    free = shutil.disk_usage(folder).free
    if wanted_bytes + _RESERVE_BYTES > free:
        disk = next(one for one in (folder.resolve(), *folder.resolve().parents) if one.is_mount())
        why = f"it takes {wanted_bytes >> 20} MiB, and {free >> 20} MiB are free on the disk of {disk}"
        raise Problem(what, why, f"df -h {disk}", "NoSpace")  # the folder itself is gone when it is read


def _open(url: str, access: Access) -> Any:
    """Open a URL; a redirection leads to http or https only."""
    trusted = ssl.create_default_context(cadata=access.authorities or None)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(context=trusted),
        urllib.request.HTTPRedirectHandler(), urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(), urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(url)
    if access.username:
        said = base64.b64encode(f"{access.username}:{access.password}".encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {said}")
    return opener.open(request, timeout=_TIMEOUT_S)


def _copy(source: Any, out: IO[bytes], update: Callable[[bytes], None], length: int,
          progress: Callable[[dict[str, Any]], None]) -> int:  # fmt: skip
    done = 0
    while block := source.read(_CHUNK):
        out.write(block)
        update(block)
        done += len(block)
        if length and done % (16 * _CHUNK) < _CHUNK:
            progress({"phase": "download", "percent": round(100 * done / length, 2)})
    return done


def unpack(path: Path, folder: Path) -> Path:
    """The file itself, or its content unpacked into `folder` when it is compressed. Raises Problem."""
    packed = formats.compression(path)
    if not packed:
        return path
    if packed not in _OPENERS:
        raise Problem(f"unpack {path}", f"it is packed with {packed}", f"{packed} -d {path}", "Format")
    target = folder / "unpacked"
    try:
        with cast(BinaryIO, _OPENERS[packed](path)) as source:
            files.copy_sparse(source, target, lambda _: check_room(f"unpack {path}", folder, 0))
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile, zstd.ZstdError) as error:
        why = f"the {packed} data is truncated or damaged ({error})"
        raise Problem(f"unpack {path}", why, "copy it again", "Damaged") from None
    return target
