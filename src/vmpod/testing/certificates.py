"""Certificates for tests: a CA of its own, one for a server on loopback, one for a client. Valid for an hour."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificates:
    """All in PEM."""

    ca: bytes
    server: bytes
    server_key: bytes
    client: bytes
    client_key: bytes


def make(client_name: str = "tester", client_group: str = "testers") -> Certificates:
    """A fresh set."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test-ca")])
    ca = _sign(issuer, ca_key, issuer, ca_key, x509.BasicConstraints(ca=True, path_length=None))
    server_key, client_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    loopback = x509.SubjectAlternativeName([
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost"),
    ])  # fmt: skip
    server = _sign(x509.Name([]), server_key, issuer, ca_key, loopback)
    subject = x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, client_group),
        x509.NameAttribute(NameOID.COMMON_NAME, client_name),
    ])  # fmt: skip
    client = _sign(subject, client_key, issuer, ca_key, x509.BasicConstraints(ca=False, path_length=None))
    return Certificates(_pem(ca), _pem(server), _key(server_key), _pem(client), _key(client_key))


def _sign(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints) or not list(subject))
    )
    return builder.sign(issuer_key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
