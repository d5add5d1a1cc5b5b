"""Upload tokens: signed leave to write one claim, for five minutes. JSON Web Tokens with HMAC-SHA256 (RFC 7519)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson

LIFE_S: Final = 300
_HEAD: Final = {"alg": "HS256", "typ": "JWT"}
_FIELDS: Final = ("namespace", "name", "uid")


@dataclass(frozen=True)
class Ticket:
    """Which claim may be written: the very one, not a later one of its name."""

    namespace: str
    name: str
    uid: str


def sign(key: bytes, ticket: Ticket, now: datetime) -> str:
    """The token of a ticket."""
    since = int(now.timestamp())
    claims = {
        "iss": "cdi-apiserver", "aud": ["cdi-uploadproxy"], "operation": "Upload", "iat": since, "nbf": since,
        "exp": since + LIFE_S, "namespace": ticket.namespace, "name": ticket.name, "uid": ticket.uid,
        "resource": {"group": "", "version": "v1", "resource": "persistentvolumeclaims"},
    }  # fmt: skip
    text = f"{_encoded(orjson.dumps(_HEAD))}.{_encoded(orjson.dumps(claims))}"
    return f"{text}.{_encoded(_mac(key, text))}"


def read(key: bytes, token: str, now: datetime) -> Ticket | None:
    """The ticket of a token; None when we did not sign it or its time is over."""
    text, _, signature = token.rpartition(".")
    try:
        if not hmac.compare_digest(_decoded(signature), _mac(key, text)):
            return None
        claims = orjson.loads(_decoded(text.partition(".")[2]))
    except (ValueError, binascii.Error):
        return None
    if now.timestamp() >= claims["exp"]:
        return None
    return Ticket(*(claims[field] for field in _FIELDS))


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
