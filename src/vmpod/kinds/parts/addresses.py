"""Rules of IP addresses."""

from __future__ import annotations

import ipaddress

from vmpod.model.status import FieldError, required, wrong

RULE = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def version_of(address: object) -> int:
    """4 or 6; 0 when it is no IP address."""
    if not isinstance(address, str):
        return 0
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        return 0


def family_of(address: str) -> str:
    """IPv4 or IPv6, as Services and EndpointSlices name them, of what is an IP address."""
    return "IPv6" if ":" in address else "IPv4"


def address_errors(address: object, path: str) -> list[FieldError]:
    """An address that must be there, and reach something: not unspecified, loopback or link-local."""
    if not address:
        return [required(path)]
    if not version_of(address):
        return [wrong(path, address, RULE)]
    found = ipaddress.ip_address(str(address))
    if found.is_unspecified:
        return [wrong(path, address, "may not be unspecified (0.0.0.0 or ::)")]
    if found.is_loopback:
        return [wrong(path, address, "may not be in the loopback range (127.0.0.0/8, ::1/128)")]
    if found.is_link_local:
        return [wrong(path, address, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")]
    return []
