"""Object stores for tests, that serve a folder to those only who sign as S3 and Google Cloud Storage want it.

Signatures are verified from the published rules (AWS Signature Version 4; RFC 7519 with RS256), not by the libraries
that make them. Objects lie at /BUCKET/KEY; ranges work, and what is asked is noted.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from vmpod.testing.certificates import Certificates

KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
_SKEW = timedelta(minutes=15)
_PUBLIC = "/public/"


@dataclass
class Store:
    """A running store: its address, which region it is (S3), and the ranges that were asked for."""

    url: str
    folder: Path
    region: str = ""
    account: rsa.RSAPrivateKey | None = None  # whose tokens are taken (Google)
    asked: list[str] = field(default_factory=list)
    break_after: int = 0  # send no more than so many bytes of each answer

    def key_file(self) -> str:
        """The text of a service account's key file."""
        assert self.account is not None
        key = self.account.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return json.dumps({
            "type": "service_account", "client_email": "reader@example.com", "private_key_id": "1",
            "private_key": key.decode(), "token_uri": "https://oauth2.example.com/token",
        })  # fmt: skip


@contextmanager
def s3(folder: Path, region: str = "127", certificates: Certificates | None = None) -> Iterator[Store]:
    """S3, for one key; what lies in the bucket `public` is for all."""
    with _served(Store("", folder, region=region), certificates) as store:
        yield store


@contextmanager
def google(folder: Path) -> Iterator[Store]:
    """Google Cloud Storage, for one service account; what lies in the bucket `public` is for all."""
    with _served(Store("", folder, account=rsa.generate_private_key(65537, 2048)), None) as store:
        yield store


@contextmanager
def _served(store: Store, certificates: Certificates | None) -> Iterator[Store]:
    handler = type("Handler", (_Handler,), {"store": store})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if certificates:
        server.socket = _tls(certificates).wrap_socket(server.socket, server_side=True)
    store.url = f"{'https' if certificates else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _tls(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificates.server + certificates.server_key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


class _Handler(http.server.BaseHTTPRequestHandler):
    store: Store

    def log_message(self, format: str, *args: object) -> None:
        return

    def do_GET(self) -> None:
        told = "" if self.path.startswith(_PUBLIC) else self._wrong()
        path = self.store.folder / unquote(urlsplit(self.path).path).lstrip("/")
        if told:
            self._refuse(403, told)
        elif not path.is_file():
            self._refuse(404, "NoSuchKey")
        else:
            self._send(path.read_bytes())

    def _send(self, data: bytes) -> None:
        tag = f'"{hashlib.md5(data).hexdigest()}"'
        range = self.headers.get("Range", "")
        self.store.asked.append(range)
        is_rest = bool(range) and self.headers.get("If-Range", tag) == tag
        start = int(range.removeprefix("bytes=").partition("-")[0]) if is_rest else 0
        self.send_response(206 if is_rest else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", tag)
        if is_rest:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start : start + self.store.break_after] if self.store.break_after else data[start:])

    def _refuse(self, code: int, reason: str) -> None:
        body = f"<?xml version='1.0'?><Error><Code>{reason}</Code><Message>no</Message></Error>".encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _wrong(self) -> str:
        """Why a request is refused, empty when it is right."""
        said = self.headers.get("Authorization", "")
        return self._wrong_token(said) if self.store.account else self._wrong_signature(said)

    def _wrong_token(self, said: str) -> str:
        assert self.store.account is not None
        scheme, _, token = said.partition(" ")
        head, _, signature = token.rpartition(".")
        try:
            key = self.store.account.public_key()
            key.verify(_unpadded(signature), head.encode(), padding.PKCS1v15(), hashes.SHA256())
            claims = json.loads(_unpadded(head.partition(".")[2]))
        except Exception:  # whatever is wrong with it
            return "InvalidToken"
        is_now = claims["iat"] - 60 <= datetime.now(UTC).timestamp() <= claims["exp"]
        is_reader = claims["iss"] == "reader@example.com" and "devstorage.read_only" in claims["scope"]
        return "" if scheme == "Bearer" and is_now and is_reader else "InvalidToken"

    def _wrong_signature(self, said: str) -> str:
        scheme, _, rest = said.partition(" ")
        if scheme != "AWS4-HMAC-SHA256":
            return "AccessDenied"
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        key_id, day, region, service, end = parts["Credential"].split("/")
        names, moment = parts["SignedHeaders"].split(";"), self.headers.get("X-Amz-Date", "")
        if key_id != KEY_ID:
            return "InvalidAccessKeyId"
        if (region, service, end) != (self.store.region, "s3", "aws4_request"):
            return "AuthorizationHeaderMalformed"
        sent = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs(datetime.now(UTC) - sent) > _SKEW or not moment.startswith(day):
            return "RequestTimeTooSkewed"
        if not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names):
            return "AccessDenied"
        wanted = self._signature(names, f"{day}/{region}/{service}/{end}", moment)
        return "" if hmac.compare_digest(wanted, parts["Signature"]) else "SignatureDoesNotMatch"

    def _signature(self, names: list[str], scope: str, moment: str) -> str:
        path, _, query = self.path.partition("?")
        lines = [f"{name}:{' '.join(self.headers.get(name, '').split())}" for name in names]
        canonical = "\n".join(["GET", path, query, *lines, "", ";".join(names), self.headers["x-amz-content-sha256"]])
        text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{SECRET}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.new(key, text.encode(), "sha256").hexdigest()


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def secret(name: str, entries: Mapping[str, str]) -> dict[str, Any]:
    """A Secret with these entries."""
    data = {key: base64.b64encode(text.encode()).decode() for key, text in entries.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
