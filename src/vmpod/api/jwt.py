"""JSON Web Tokens with HMAC-SHA256 (RFC 7519): signed here, and read by nobody but us."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

import orjson

_HEAD: Final = {"alg": "HS256", "typ": "JWT"}


def signed(key: bytes, claims: Mapping[str, Any]) -> str:
    """The token that says these claims."""
    text = f"{_encoded(orjson.dumps(_HEAD))}.{_encoded(orjson.dumps(claims))}"
    return f"{text}.{_encoded(_mac(key, text))}"


def read(key: bytes, token: str) -> dict[str, Any] | None:
    """What a token claims; None when it was not signed with the key. Whether its time is over, the caller sees."""
    text, _, signature = token.rpartition(".")
    try:
        if not hmac.compare_digest(_decoded(signature), _mac(key, text)):
            return None
        claims = orjson.loads(_decoded(text.partition(".")[2]))
    except (ValueError, binascii.Error):
        return None
    return claims if isinstance(claims, dict) else None


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
