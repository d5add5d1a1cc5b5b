"""Names: what apimachinery's validation allows, and what the API server makes up for `generateName`."""

from __future__ import annotations

import random
import re
from typing import Final

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DNS1035: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_CONFIG_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")
_LABEL_MAX: Final = 63
_SUBDOMAIN_MAX: Final = 253
_PORT_NAME_MAX: Final = 15
ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, no look-alikes: apimachinery's pkg/util/rand
_SUFFIX_LENGTH: Final = 5
_GENERATED_MAX: Final = 63

_LABEL_RULE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "
    "must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_DNS1035_RULE: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "
    "validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_QUALIFIED_RULE: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_RULE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
    "must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex "
    "used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_CONFIG_KEY_RULE: Final = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
    "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def _faults(text: str, shape: re.Pattern[str], rule: str, limit: int) -> list[str]:
    faults = [f"must be no more than {limit} bytes"] if len(text.encode()) > limit else []
    return faults if shape.fullmatch(text) else [*faults, rule]


def label_faults(text: str) -> list[str]:
    """What makes `text` no RFC 1123 label (names of namespaces, containers …); empty when it is one."""
    return _faults(text, _LABEL, _LABEL_RULE, _LABEL_MAX)


def subdomain_faults(text: str) -> list[str]:
    """What makes `text` no RFC 1123 subdomain (names of most objects); empty when it is one."""
    return _faults(text, _SUBDOMAIN, _SUBDOMAIN_RULE, _SUBDOMAIN_MAX)


def dns1035_faults(text: str) -> list[str]:
    """What makes `text` no RFC 1035 label (names of Services); empty when it is one."""
    return _faults(text, _DNS1035, _DNS1035_RULE, _LABEL_MAX)


def label_key_faults(text: str) -> list[str]:
    """What makes `text` no key of a label or annotation (`[prefix/]name`); empty when it is one."""
    prefix, slash, last = text.rpartition("/")
    faults = []
    if slash and not prefix:
        faults.append("prefix part must be non-empty")
    elif slash:
        faults += [f"prefix part {fault}" for fault in subdomain_faults(prefix)]
    if not last:
        faults.append("name part must be non-empty")
    elif len(last) > _LABEL_MAX:
        faults.append(f"name part must be no more than {_LABEL_MAX} bytes")
    return faults if _QUALIFIED.fullmatch(last) else [*faults, _QUALIFIED_RULE]


def label_value_faults(text: str) -> list[str]:
    """What makes `text` no value of a label; empty when it is one."""
    faults = [f"must be no more than {_LABEL_MAX} bytes"] if len(text.encode()) > _LABEL_MAX else []
    return faults if not text or _QUALIFIED.fullmatch(text) else [*faults, _VALUE_RULE]


def config_key_faults(text: str) -> list[str]:
    """What makes `text` no key of a ConfigMap or Secret; empty when it is one."""
    faults = [f"must be no more than {_SUBDOMAIN_MAX} bytes"] if len(text.encode()) > _SUBDOMAIN_MAX else []
    if not _CONFIG_KEY.fullmatch(text):
        faults.append(_CONFIG_KEY_RULE)
    if text == ".":
        faults.append("must not be '.'")
    elif text.startswith(".."):
        faults.append("must not be '..'" if text == ".." else "must not start with '..'")
    return faults


def port_name_faults(text: str) -> list[str]:
    """What makes `text` no name of a port (IANA service name); empty when it is one."""
    faults = []
    if len(text) > _PORT_NAME_MAX:
        faults.append("must be no more than 15 characters long")
    if not re.fullmatch(r"[-a-z0-9]+", text):
        faults.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search(r"[a-z]", text):
        faults.append("must contain at least one letter (a-z)")
    if "--" in text:
        faults.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        faults.append("must not begin or end with a hyphen")
    return faults


def is_dns1123_label(text: str) -> bool:
    """Whether the text is an RFC 1123 label."""
    return not label_faults(text)


def is_dns1123_subdomain(text: str) -> bool:
    """Whether the text is an RFC 1123 subdomain."""
    return not subdomain_faults(text)


def check_name(text: str, *, label: bool = False) -> str:
    """The first fault of an object's name, empty when it is valid; `label` for the stricter rule."""
    faults = label_faults(text) if label else subdomain_faults(text)
    return faults[0] if faults else ""


def generate(prefix: str, rng: random.Random) -> str:
    """`prefix` cut to fit, and five random letters, as the API server does for `generateName`."""
    return prefix[: _GENERATED_MAX - _SUFFIX_LENGTH] + suffix(rng)


def suffix(rng: random.Random, length: int = _SUFFIX_LENGTH) -> str:
    """Random letters that are safe in names."""
    return "".join(rng.choice(ALPHABET) for _ in range(length))


def safe_encode(text: str) -> str:
    """Text (a decimal hash) with its characters moved into the alphabet of generated names.

    k8s.io/apimachinery/pkg/util/rand.SafeEncodeString, used for pod-template-hash.
    """
    return "".join(ALPHABET[ord(letter) % len(ALPHABET)] for letter in text)
