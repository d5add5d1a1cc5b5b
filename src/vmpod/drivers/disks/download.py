"""Images over HTTP: checked while they come, gone on with in the middle when the connection or the importer breaks."""

from __future__ import annotations

import base64
import http.client
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from vmpod.base.errors import Problem
from vmpod.drivers.disks import buckets, formats, unfinished
from vmpod.drivers.disks.buckets import Signer
from vmpod.drivers.disks.digests import Beside
from vmpod.drivers.disks.fetch import check_room
from vmpod.drivers.disks.unfinished import Part

_CHUNK = 1 << 20
_TIMEOUT_S = 60
_PAUSES_S = (0.5, 2.0, 5.0)  # before a new try; after these, with nothing gained, it is given up
_CHECKSUMS = ("md5", "sha1", "sha256", "sha512")  # CDI's
_BROKEN = (http.client.HTTPException, ConnectionError, TimeoutError)
_TOLD = re.compile(rb"<(?:Code|Message)>([^<]{1,500})</")  # S3's and Google's reasons for a refusal
KINDS = ("http", "s3", "gcs")
"""of sources that are read over HTTP"""
Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Access:
    """What a server wants to know of us, and by which authorities (PEM) besides the system's it is known.

    `headers` are sent wherever a redirection leads, `secret_headers` only to the server that the URL names; each is
    `Name: value`. Of S3 the name and password are a key; `credentials` is the text of a key file of Google's.
    """

    username: str = ""
    password: str = ""
    authorities: str = ""
    headers: tuple[str, ...] = ()
    secret_headers: tuple[str, ...] = ()
    credentials: str = ""
    unverified: bool = False  # the server may be anybody
    proxies: tuple[tuple[str, str], ...] = ()  # variables of the environment, as http_proxy


@dataclass(frozen=True)
class Fetched:
    """A file that is here; `sha256` of its content is empty where nobody computed it while it came."""

    path: Path
    sha256: str = ""


@dataclass
class _Transfer:
    """A download on its way into a folder. Without an `algorithm` only a qcow2 that comes in one go is hashed, as it
    becomes a base as it is.

    `version` names what is being sent, where the server can go on with it in the middle.
    """

    url: str
    folder: Path
    access: Access
    sign: Signer
    algorithm: str
    progress: Progress
    length: int = 0
    version: str = ""

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.done = 0
        self.digest = Beside(self.algorithm) if self.algorithm else None
        self.whole: Beside | None = None

    def begin_anew(self, out: IO[bytes]) -> None:
        """Forget what has come: there is another version now."""
        out.truncate(0)
        self.begin()

    @property
    def is_whole(self) -> bool:
        return bool(self.length) and self.done == self.length

    @property
    def sha256(self) -> str:
        """Of all that came; empty where it is not known."""
        known = self.digest if self.algorithm == "sha256" else self.whole
        return known.hexdigest() if known else ""

    def take_up(self, out: IO[bytes]) -> None:
        """Go on with what an earlier importer left, unless it is a part of something else."""
        size, part = out.seek(0, os.SEEK_END), unfinished.known(self.folder, self.url)
        if part is None or not 0 < size <= part.length:
            out.truncate(0)
            return
        out.seek(0)
        while self.digest and (block := out.read(_CHUNK)):
            self.digest.update(block)
        self.done, self.length, self.version = size, part.length, part.version

    def take(self, out: IO[bytes]) -> None:
        """Ask for what is missing, and write it. Raises what urllib and the connection raise."""
        asked = {"Range": f"bytes={self.done}-", "If-Range": self.version} if self.done else {}
        with _open(self.url, self.access, self.sign, asked) as answer:
            is_rest = str(answer.headers.get("Content-Range")).startswith(f"bytes {self.done}-")
            if self.done and not (answer.status == http.client.PARTIAL_CONTENT and is_rest):
                self.begin_anew(out)
            if not self.done:
                self._note(answer.headers)
            check_room(f"download {self.url}", self.folder, self.length - self.done)
            while block := answer.read(_CHUNK):
                if block.strip(b"\0"):
                    out.write(block)
                else:  # a hole
                    out.truncate(self.done + len(block))
                if not self.done and not self.digest and block.startswith(formats.QCOW2):
                    self.whole = Beside()
                for digest in filter(None, (self.digest, self.whole)):
                    digest.update(block)
                self.done += len(block)
                if self.length and self.done % (16 * _CHUNK) < _CHUNK:
                    self.progress({"phase": "download", "percent": round(100 * self.done / self.length, 2)})
        if self.length and not self.is_whole:
            raise http.client.HTTPException(f"it ended after {self.done} of {self.length} bytes")

    def _note(self, headers: Any) -> None:
        self.length = int(headers.get("Content-Length") or 0)
        tag = headers.get("ETag") or ""
        strong = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified") or ""
        self.version = strong if headers.get("Accept-Ranges") == "bytes" and self.length else ""
        if self.version:
            unfinished.note(self.folder, Part(self.url, self.length, self.version))
        else:
            unfinished.forget(self.folder)


def download(
    source: str, folder: Path, *, checksum: str, progress: Progress, access: Access = Access(), kind: str = "http"
) -> Fetched:
    """Fetch an http or https URL into a folder; `checksum` is `ALGORITHM:HEX` or empty. Raises Problem.

    What an earlier importer left there is gone on with. The kinds s3 and gcs are objects in buckets.
    """
    what = f"download {source}"
    url = source if kind == "http" else buckets.object_url(source)
    if not url.startswith(("http://", "https://")):
        raise Problem(what, "only http and https are understood", reason="Unsupported")
    algorithm, _, expected = (part.strip().lower() for part in checksum.partition(":"))
    if checksum and (algorithm not in _CHECKSUMS or not expected):
        why = f"the checksum {checksum!r} does not begin with one of {', '.join(f'{one}:' for one in _CHECKSUMS)}"
        raise Problem(what, why, "write it as sha256:…", "Checksum")
    transfer = _Transfer(url, folder, access, _signer(kind, url, access), algorithm, progress)
    target = folder / unfinished.NAME
    with target.open("a+b") as out:
        transfer.take_up(out)
        _fetch(transfer, out, what)
    if transfer.digest and transfer.digest.hexdigest() != expected:
        why = f"its {algorithm} is {transfer.digest.hexdigest()}, not {expected}"
        raise Problem(what, why, "correct the checksum or the URL", "Checksum")
    return Fetched(target, transfer.sha256)


def _signer(kind: str, url: str, access: Access) -> Signer:
    """Who asks, as the server wants to be told. Raises Problem."""
    match kind:
        case "s3":
            return buckets.s3_signer(url, access.username, access.password)
        case "gcs":
            return buckets.google_signer(url, access.credentials)
        case _:
            return lambda headers: _basic(access)


def _basic(access: Access) -> dict[str, str]:
    if not access.username:
        return {}
    said = base64.b64encode(f"{access.username}:{access.password}".encode()).decode()
    return {"Authorization": f"Basic {said}"}


def _fetch(transfer: _Transfer, out: IO[bytes], what: str) -> None:
    """All of it. A broken connection is opened again where the server says that it can go on in the middle."""
    pauses = list(_PAUSES_S)
    while not transfer.is_whole:
        before = transfer.done
        try:
            transfer.take(out)
            return
        except urllib.error.HTTPError as error:
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and transfer.done:
                transfer.begin_anew(out)
                continue
            raise _failed(what, transfer, f"the server answered {error.code} {error.reason}{_reasons(error)}") from None
        except (urllib.error.URLError, *_BROKEN) as error:
            why = str(getattr(error, "reason", "") or error) or type(error).__name__
        except ValueError as error:  # a header that HTTP has no place for, certificates that are none
            raise Problem(what, str(error), "correct what the source says", "Unsupported") from None
        if transfer.done > before:
            pauses = list(_PAUSES_S)
        if not transfer.version or not pauses:
            raise _failed(what, transfer, why)
        time.sleep(pauses.pop(0))


def _reasons(error: urllib.error.HTTPError) -> str:
    """What the server's answer says more than its number."""
    try:
        found = _TOLD.findall(error.read(4096))
    except (OSError, http.client.HTTPException):
        return ""
    return "".join(f": {one.decode(errors='replace')}" for one in found[:2])


def _failed(what: str, transfer: _Transfer, why: str) -> Problem:
    return Problem(what, why, f"curl -I {transfer.url}", "Http")


def _open(url: str, access: Access, sign: Signer, asked: dict[str, str]) -> Any:
    """Open a URL; a redirection leads to http or https only."""
    trusted = _trusted(access)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(context=trusted),
        urllib.request.HTTPRedirectHandler(), urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(), urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    headers = asked | dict(map(_header, access.headers))
    request = urllib.request.Request(url, headers=headers)
    for key, value in (*map(_header, access.secret_headers), *sign(headers).items()):
        request.add_unredirected_header(key, value)
    return opener.open(request, timeout=_TIMEOUT_S)


def _trusted(access: Access) -> ssl.SSLContext:
    """The authorities of the system and those of the source. Raises ValueError for what are no certificates."""
    context = ssl.create_default_context()
    if access.unverified:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if access.authorities:
        try:
            context.load_verify_locations(cadata=access.authorities)
        except ssl.SSLError as error:
            raise ValueError(f"the certificates in the ConfigMap cannot be read ({error.reason})") from None
    return context


def _header(line: str) -> tuple[str, str]:
    """Raises ValueError for what is no `Name: value`."""
    key, colon, value = line.partition(":")
    if not (colon and key.strip()):
        raise ValueError("an extra header is not written as 'Name: value'")
    return key.strip(), value.strip()
