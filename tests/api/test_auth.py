"""The home's own certificates."""

from __future__ import annotations

import json
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vmpod.api import auth
from vmpod.base.paths import Paths
from vmpod.client.inprocess import ANONYMOUS
from vmpod.model.status import ApiError


async def test_files_are_made_once_and_private(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    pki = await auth.ensure_pki(paths)
    before = {path: path.read_bytes() for path in pki.files}
    assert {stat.S_IMODE(path.stat().st_mode) for path in pki.folder.iterdir()} == {0o600}
    assert {path: path.read_bytes() for path in (await auth.ensure_pki(paths)).files} == before
    auth.server_context(pki)


async def test_a_new_name_makes_a_new_certificate_of_the_same_authority(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    pki = await auth.ensure_pki(paths)
    ca, server = pki.ca.read_bytes(), pki.server_cert.read_bytes()
    await auth.ensure_pki(paths, ("10.9.8.7", "box.example"))
    assert pki.ca.read_bytes() == ca and pki.server_cert.read_bytes() != server
    assert {"10.9.8.7", "127.0.0.1", "localhost"} <= set(json.loads(pki.issued.read_text())["names"])


async def test_certificates_are_renewed_in_time(tmp_path: Path) -> None:
    pki = await auth.ensure_pki(Paths(tmp_path))
    now = datetime.now(UTC)
    assert pki.is_valid_for(["localhost"], now)
    assert not pki.is_valid_for(["localhost"], now + timedelta(days=800))
    assert not pki.is_valid_for(["other"], now)
    pki.client_key.unlink()
    assert not pki.is_valid_for(["localhost"], now)


def test_users_are_named_by_their_certificate() -> None:
    subject = ((("organizationName", "system:masters"),), (("commonName", "me"),))
    user = auth.user_of({"subject": subject})
    assert (user.name, user.groups) == ("me", ("system:masters", "system:authenticated"))
    assert auth.user_of(None) == auth.user_of({}) == ANONYMOUS
    auth.check_user(ANONYMOUS, "/version", {"/version"})
    with pytest.raises(ApiError):
        auth.check_user(ANONYMOUS, "/api", {"/version"})


def test_tls_is_new_enough(pki: auth.Pki) -> None:
    context = auth.server_context(pki)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2 and context.verify_mode == ssl.CERT_OPTIONAL
