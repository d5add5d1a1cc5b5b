"""Upload tokens: signed leave to write one claim, for five minutes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from vmpod.api import jwt

LIFE_S: Final = 300
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
    return jwt.signed(key, {
        "iss": "cdi-apiserver", "aud": ["cdi-uploadproxy"], "operation": "Upload", "iat": since, "nbf": since,
        "exp": since + LIFE_S, "namespace": ticket.namespace, "name": ticket.name, "uid": ticket.uid,
        "resource": {"group": "", "version": "v1", "resource": "persistentvolumeclaims"},
    })  # fmt: skip


def read(key: bytes, token: str, now: datetime) -> Ticket | None:
    """The ticket of a token; None when we did not sign it or its time is over."""
    claims = jwt.read(key, token)
    if claims is None or now.timestamp() >= claims["exp"]:
        return None
    return Ticket(*(claims[field] for field in _FIELDS))
