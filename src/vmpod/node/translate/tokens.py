"""Which tokens the volumes of a pod hold, and when one is to be replaced: after four fifths of its time (kubelet)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from vmpod.model import meta
from vmpod.model.meta import Object

_SHARE = 0.8
_LONGEST_S = 24 * 3600


@dataclass(frozen=True)
class Wanted:
    """A token in a volume. No audience means the API's own."""

    path: str
    seconds: int
    audience: str = ""


def wanted(volume: Object) -> Iterator[Wanted]:
    """Every token of a volume."""
    for source in meta.get(volume, "projected", "sources", default=()):
        if one := source.get("serviceAccountToken"):
            yield Wanted(str(one.get("path", "")), int(one.get("expirationSeconds") or 3600), one.get("audience") or "")


def request(one: Wanted, pod: Object) -> Object:
    """The TokenRequest for it, bound to the pod."""
    bound = {"kind": "Pod", "apiVersion": "v1", "name": meta.name(pod), "uid": meta.uid(pod)}
    spec: Object = {"expirationSeconds": one.seconds, "boundObjectRef": bound}
    return {
        "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
        "spec": spec | ({"audiences": [one.audience]} if one.audience else {}),
    }


def renewal(token: bytes, one: Wanted, pod: Object) -> float | None:
    """When a token that is there is to be replaced, as Unix time; None for one that is not what is wanted."""
    claims = _claims(token)
    private = claims.get("kubernetes.io") or {}
    meant = [one.audience or claims.get("iss")]
    if claims.get("aud") != meant or meta.get(private, "pod", "uid") != meta.uid(pod):
        return None
    since = float(claims["iat"])
    life = float(private.get("warnafter") or claims["exp"]) - since
    return since + min(life * _SHARE, _LONGEST_S)


def is_fresh(token: bytes, one: Wanted, pod: Object, now: datetime) -> bool:
    """Whether a token may stay."""
    end = renewal(token, one, pod)
    return end is not None and now.timestamp() < end


def _claims(token: bytes) -> dict[str, Any]:
    middle = token.split(b".")[1] if token.count(b".") == 2 else b""
    try:
        found = orjson.loads(base64.urlsafe_b64decode(middle + b"=" * (-len(middle) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return found if isinstance(found, dict) else {}
