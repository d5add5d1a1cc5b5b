"""What spec.accessCredentials hands over to a running guest through its agent: keys and passwords by user. Pure."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vmpod.model.meta import Object, get, namespace

Secrets = Callable[[str], Object | None]
_AGENT = "qemuGuestAgent"


@dataclass(frozen=True)
class Credentials:
    """SSH keys and passwords by user; `missing` says which Secret is not there."""

    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    passwords: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""


def secrets_of(vmi: Object) -> tuple[str, ...]:
    """The Secrets behind what goes through the agent; none: nothing does."""
    return tuple(dict.fromkeys(secret for _, _, secret in _entries(vmi)))


def credentials(vmi: Object, find: Secrets) -> Credentials:
    """Every user's keys from all Secrets that name the user; a Secret of passwords has one key a user."""
    keys: dict[str, tuple[str, ...]] = {}
    passwords: dict[str, str] = {}
    for kind, one, secret in _entries(vmi):
        found = find(secret)
        if found is None:
            return Credentials(missing=f"Secret {namespace(vmi)}/{secret} not found")
        texts = _texts(found)
        if kind == "userPassword":
            passwords |= {user: text.strip() for user, text in texts.items() if text.strip()}
            continue
        lines = tuple(line for _, text in sorted(texts.items()) for line in _key_lines(text))
        for user in get(one, "propagationMethod", _AGENT, "users", default=()):
            keys[user] = tuple(dict.fromkeys((*keys.get(user, ()), *lines)))
    return Credentials(keys, passwords)


def _entries(vmi: Object) -> list[tuple[str, Object, str]]:
    """(kind, entry, Secret) of what goes through the agent."""
    found = [(kind, one[kind], str(get(one, kind, "source", "secret", "secretName", default="")))
             for one in get(vmi, "spec", "accessCredentials", default=())
             for kind in ("sshPublicKey", "userPassword") if one.get(kind)]  # fmt: skip
    return [one for one in found if one[2] and get(one[1], "propagationMethod", _AGENT) is not None]


def _texts(secret: Object) -> dict[str, str]:
    plain = {key: str(text) for key, text in (secret.get("stringData") or {}).items()}
    coded = (secret.get("data") or {}).items()
    return {key: base64.b64decode(text or "").decode(errors="replace") for key, text in coded} | plain


def _key_lines(text: str) -> list[str]:
    return [line for one in text.splitlines() if (line := one.strip()) and not line.startswith("#")]
