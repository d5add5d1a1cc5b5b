"""Who asks: certificates of the home's own authority. Anonymous clients learn only that the server is up.

Tokens of service accounts are read in vmpod.api.accounts.

Making keys needs `cryptography`, which takes 10 MB; that happens in a child process (vmpod.api.pki), once per home.
"""

from __future__ import annotations

import json
import secrets
import ssl
import sys
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from vmpod.base import clock, files, proc
from vmpod.base.paths import Paths
from vmpod.client.inprocess import ANONYMOUS, User
from vmpod.model import status

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
                   "kubernetes.default.svc.cluster.local")
_RENEW_BEFORE: Final = timedelta(days=30)


@dataclass(frozen=True)
class Pki:
    """The files of a home's certificates, all PEM, keys readable by the owner alone."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def server_cert(self) -> Path:
        return self.folder / "server.crt"

    @property
    def server_key(self) -> Path:
        return self.folder / "server.key"

    @property
    def client_cert(self) -> Path:
        return self.folder / "client.crt"

    @property
    def client_key(self) -> Path:
        return self.folder / "client.key"

    @property
    def issued(self) -> Path:
        """What the certificates say, for those who cannot parse them: names and end."""
        return self.folder / "issued.json"

    @property
    def files(self) -> tuple[Path, ...]:
        return self.ca, self.server_cert, self.server_key, self.client_cert, self.client_key

    def is_valid_for(self, names: Iterable[str], now: datetime) -> bool:
        """Whether all files are there, name the server as wanted and last another month."""
        try:
            told = json.loads(self.issued.read_text())
            end = clock.parse(told["notAfter"])
        except (OSError, ValueError, KeyError):
            return False
        complete = all(path.is_file() for path in self.files)
        return complete and set(names) <= set(told["names"]) and end - now > _RENEW_BEFORE


async def ensure_pki(paths: Paths, names: Sequence[str] = ()) -> Pki:
    """The certificates of a home, made when they are missing, about to end, or lack one of `names`.

    `names` are host names and addresses besides those of loopback. Raises Problem.
    """
    pki = Pki(paths.pki)
    wanted = (*LOOPBACK, *(name for name in names if name not in LOOPBACK))
    if not pki.is_valid_for(wanted, datetime.now(UTC)):
        pki.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        await proc.run(
            [sys.executable, "-m", "vmpod.api.pki", str(pki.folder), *wanted], what="make the certificates of the home"
        )
    return pki


def ensure_account_key(paths: Paths) -> bytes:
    """The key that signs the tokens of service accounts, made once per home: tokens outlive their engine."""
    file = paths.pki / "accounts.key"
    if not file.is_file():
        fresh = file.with_name(f"{file.name}.new")
        files.write_anew(fresh, secrets.token_bytes(32))
        fresh.replace(file)
    return file.read_bytes()


async def context_for(pki: Pki, names: Sequence[str]) -> ssl.SSLContext:
    """TLS with a certificate for these names, of the home's authority. Its key is kept in memory. Raises Problem."""
    with tempfile.TemporaryDirectory(prefix="leaf-", dir=pki.folder) as folder:
        argv = [sys.executable, "-m", "vmpod.api.pki", "--leaf", str(pki.folder), folder, *names]
        await proc.run(argv, what=f"make a certificate for {names[0]}")
        leaf = Pki(Path(folder))
        return _context(leaf.server_cert, leaf.server_key)


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


def server_context(pki: Pki) -> ssl.SSLContext:
    """TLS 1.2 and newer; client certificates are asked for, not insisted on."""
    context = _context(pki.server_cert, pki.server_key)
    context.load_verify_locations(pki.ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def user_of(certificate: Mapping[str, Any] | None) -> User:
    """The user that a verified certificate names: CN, and O as groups (Kubernetes, "X509 client certificates")."""
    if not certificate:
        return ANONYMOUS
    return _user(tuple(pair for names in certificate.get("subject", ()) for pair in names))


@lru_cache(maxsize=64)
def _user(subject: tuple[tuple[str, str], ...]) -> User:
    names = [value for key, value in subject if key == "commonName"]
    groups = tuple(value for key, value in subject if key == "organizationName")
    return User(names[-1], (*groups, "system:authenticated")) if names else ANONYMOUS


def check_user(user: User, path: str, open_paths: Collection[str]) -> None:
    """Raises ApiError 401 for anonymous requests, except to what is open to all."""
    if user.name == ANONYMOUS.name and path not in open_paths:
        raise status.unauthorized()
