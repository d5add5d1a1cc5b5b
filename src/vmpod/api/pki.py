"""Makes the certificates of a home: `python -m vmpod.api.pki FOLDER NAME…`. Runs in a process of its own.

With `--leaf FOLDER TARGET NAME…` it makes one more certificate by the authority in FOLDER.
"""

from __future__ import annotations

import ipaddress
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vmpod.base import clock

_CA_DAYS = 3650
_LEAF_DAYS = 825  # the longest that strict clients take
_RENEW_CA_DAYS = _LEAF_DAYS + 30
_BACKDATE = timedelta(minutes=5)  # a guest's clock may be behind

Key = ec.EllipticCurvePrivateKey


def make(folder: Path, names: list[str]) -> None:
    """Write authority, server and client certificates; an authority that still lasts is kept."""
    now = datetime.now(UTC)
    ca, ca_key = _authority(folder, now)
    server, server_key = _leaf(ca, ca_key, _subject("vmpod", ()), ExtendedKeyUsageOID.SERVER_AUTH, names, now)
    client, client_key = _leaf(
        ca, ca_key, _subject("vmpod-admin", ("system:masters",)), ExtendedKeyUsageOID.CLIENT_AUTH, [], now
    )
    for name, certificate, key in (("server", server, server_key), ("client", client, client_key)):
        _write_key(folder / f"{name}.key", key)
        _write(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM))
    told = {"names": names, "notAfter": clock.rfc3339(server.not_valid_after_utc)}
    _write(folder / "issued.json", json.dumps(told).encode())


def make_leaf(folder: Path, target: Path, names: list[str]) -> None:
    """Write a server's certificate and key to `target`."""
    now = datetime.now(UTC)
    ca, ca_key = _authority(folder, now)
    made, key = _leaf(ca, ca_key, _subject("vmpod", ()), ExtendedKeyUsageOID.SERVER_AUTH, names, now)
    _write_key(target / "server.key", key)
    _write(target / "server.crt", made.public_bytes(serialization.Encoding.PEM))


def _authority(folder: Path, now: datetime) -> tuple[x509.Certificate, Key]:
    try:
        ca = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
        lasts = ca.not_valid_after_utc - now > timedelta(days=_RENEW_CA_DAYS)
        if lasts and isinstance(key, ec.EllipticCurvePrivateKey):
            return ca, key
    except (OSError, ValueError):
        pass
    return _new_authority(folder, now)


def _new_authority(folder: Path, now: datetime) -> tuple[x509.Certificate, Key]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject("vmpod CA", ())
    ca = (
        _builder(name, name, key, now, _CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_key(folder / "ca.key", key)
    _write(folder / "ca.crt", ca.public_bytes(serialization.Encoding.PEM))
    return ca, key


def _leaf(
    ca: x509.Certificate, ca_key: Key, subject: x509.Name, usage: x509.ObjectIdentifier, names: list[str], now: datetime
) -> tuple[x509.Certificate, Key]:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(subject, ca.subject, key, now, _LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(ca_key, hashes.SHA256()), key


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, now: datetime, days: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE).not_valid_after(now + timedelta(days=days))
    )  # fmt: skip


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=signs, crl_sign=signs, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _subject(name: str, groups: tuple[str, ...]) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_key(path: Path, key: Key) -> None:
    _write(path, key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))


def _write(path: Path, data: bytes) -> None:
    """Readable by the owner alone from the first byte on; replaced in one step."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)


if __name__ == "__main__":
    if sys.argv[1] == "--leaf":
        make_leaf(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
    else:
        make(Path(sys.argv[1]), sys.argv[2:])
