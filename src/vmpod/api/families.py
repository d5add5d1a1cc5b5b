"""Which families of addresses a Service has, here: pkg/registry/core/service/storage, initIPFamilyFields.

What can be said without knowing the cluster is in kinds/parts/service_rules.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from vmpod.kinds.parts.addresses import family_of
from vmpod.model import status
from vmpod.model.status import FieldError

HEADLESS = "None"
_SINGLE = "SingleStack"
_DUAL = ("PreferDualStack", "RequireDualStack")


def addresses_of(spec: dict[str, Any]) -> list[str]:
    """The cluster addresses that a Service has or asks for, the first one first."""
    given = spec.get("clusterIPs")
    found = given if isinstance(given, list) and given else [spec.get("clusterIP")]
    return [ip for ip in found if isinstance(ip, str) and ip]


def trim(spec: dict[str, Any], stored: dict[str, Any]) -> None:
    """An update that makes a Service single-stack gives up the second family, where it did not touch that itself."""
    if spec.get("ipFamilyPolicy") != _SINGLE or stored.get("ipFamilyPolicy") not in _DUAL:
        return
    for key in ("clusterIPs", "ipFamilies"):
        if spec.get(key) == stored.get(key) and isinstance(spec.get(key), list):
            spec[key] = spec[key][:1]


def settle(spec: dict[str, Any], configured: Sequence[str]) -> list[FieldError]:
    """Complete `ipFamilies` and `ipFamilyPolicy` of a Service that has addresses; why that cannot be."""
    policy, ips = spec.get("ipFamilyPolicy"), addresses_of(spec)
    families = [one for one in spec.get("ipFamilies") or () if isinstance(one, str)]
    is_headless = ips[:1] == [HEADLESS]
    named = [] if is_headless else ips
    families += [family_of(ip) for ip in named[len(families):]]
    if faults := [*_policy_faults(policy, spec.get("ipFamilies") or (), named, configured),
                  *_family_faults(families, len(spec.get("ipFamilies") or ()), named, configured)]:  # fmt: skip
        return faults
    if policy is None and is_headless and not spec.get("selector") and len(configured) > 1:
        policy = "RequireDualStack"  # nobody here knows what families its endpoints will have
    families = families or [configured[0]]
    if policy in _DUAL and len(families) == 1:
        families += [one for one in configured if one not in families]
    spec["ipFamilies"], spec["ipFamilyPolicy"] = families, policy or _SINGLE
    return []


def _policy_faults(policy: Any, families: Sequence[Any], ips: Sequence[str],
                   configured: Sequence[str]) -> Iterator[FieldError]:  # fmt: skip
    path, told = "spec.ipFamilyPolicy", "must be RequireDualStack or PreferDualStack when multiple"
    if policy not in _DUAL:
        for key, given in (("clusterIPs", ips), ("ipFamilies", families)):
            if len(given) > 1 and len(configured) > 1:
                yield status.wrong(path, policy, f"{told} '{key}' are specified")
    if policy == "RequireDualStack" and len(configured) < 2:
        yield status.wrong(path, policy, "this cluster is not configured for dual-stack services")


def _family_faults(families: Sequence[str], said: int, ips: Sequence[str],
                   configured: Sequence[str]) -> Iterator[FieldError]:  # fmt: skip
    for number, family in enumerate(families):
        if family in configured or family not in ("IPv4", "IPv6"):
            continue
        if number < said:
            yield status.wrong(f"spec.ipFamilies[{number}]", family, "not configured on this cluster")
        else:
            told = f"may not use {family} on a cluster which is not configured for it"
            yield status.wrong(f"spec.clusterIPs[{number}]", ips[number], told)
