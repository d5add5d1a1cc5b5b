"""Tokens of service accounts: given for an hour or so, bound to their account and often to a pod, known again here.

After k8s.io/kubernetes' pkg/serviceaccount: the same claims, and the same reasons to know a token no longer. The
signature is an HMAC with a key of the home, for nobody but this API checks it; others ask by a TokenReview.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from vmpod.api import jwt
from vmpod.api.call import Backend
from vmpod.base import clock
from vmpod.client.inprocess import ANONYMOUS, Request, User
from vmpod.kinds import POD, SECRET, SERVICEACCOUNT, Kind
from vmpod.kinds.parts.api_access import TOKEN_S
from vmpod.model import meta, status
from vmpod.model.meta import Object

ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
GROUP: Final = "system:serviceaccounts"
_PRIVATE: Final = "kubernetes.io"
_BOUND: Final[dict[str, Kind]] = {"pod": POD, "secret": SECRET}
_EXTENDED_S: Final = 365 * 24 * 3600
_AFTER_DELETION: Final = timedelta(seconds=60)


@dataclass(frozen=True)
class Grant:
    """What a token is given for; `bound` is the object it ends with, `node` where that runs."""

    account: Object
    audiences: tuple[str, ...]
    seconds: int
    bound: Object | None = None
    node: Object | None = None

    @property
    def is_extended(self) -> bool:
        """Whether it is for the volume that every pod gets: who reads that once finds it good for a year."""
        in_pod = self.bound is not None and self.bound["kind"] == "Pod"
        return in_pod and self.seconds == TOKEN_S and self.audiences == (ISSUER,)


def issue(key: bytes, grant: Grant, now: datetime) -> str:
    """The token of a grant."""
    since, space = int(now.timestamp()), meta.namespace(grant.account)
    private: Object = {"namespace": space, "serviceaccount": _reference(grant.account)}
    if grant.bound is not None:
        private[str(grant.bound["kind"]).lower()] = _reference(grant.bound)
    if grant.node is not None:
        private["node"] = _reference(grant.node)
    life = grant.seconds
    if grant.is_extended:
        private["warnafter"], life = since + grant.seconds, _EXTENDED_S
    return jwt.signed(key, {
        "iss": ISSUER, "aud": list(grant.audiences), "iat": since, "nbf": since, "exp": since + life,
        "jti": str(uuid.uuid4()), "sub": f"system:serviceaccount:{space}:{meta.name(grant.account)}",
        _PRIVATE: private,
    })  # fmt: skip


def _reference(obj: Object) -> Object:
    return {"name": meta.name(obj), "uid": meta.uid(obj)}


def authenticated(backend: Backend, request: Request) -> Request:
    """The request with the user that its bearer token names, where no certificate says who asks.

    Raises ApiError 401 for a token that is not one of ours, or no longer.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if request.user != ANONYMOUS or scheme.lower() != "bearer" or not token.strip():
        return request
    found = user_of(backend, token.strip(), (ISSUER,))
    if found is None:
        raise status.unauthorized()
    return replace(request, user=found[0])


def user_of(backend: Backend, token: str, audiences: Collection[str]) -> tuple[User, Sequence[str]] | None:
    """Whose token it is and for which of the audiences; None when it is worth nothing (any more)."""
    claims = jwt.read(backend.config.account_key, token)
    if claims is None or not claims["nbf"] <= backend.now().timestamp() < claims["exp"]:
        return None
    meant = [one for one in claims["aud"] if one in audiences]
    private = claims[_PRIVATE]
    lives = _lives(backend, SERVICEACCOUNT, private["namespace"], private["serviceaccount"]) and all(
        _lives(backend, kind, private["namespace"], private[name]) for name, kind in _BOUND.items() if name in private
    )
    return (_user(claims, private), meant) if meant and lives else None


def _lives(backend: Backend, kind: Kind, namespace: str, reference: Object) -> bool:
    """Whether the very object is there, and is not past its end by more than a minute."""
    record = backend.store.get(kind.resource, namespace, reference["name"])
    if record is None:
        return False
    obj = orjson.loads(record.value)
    end = meta.metadata(obj).get("deletionTimestamp")
    over = end is not None and clock.parse(end) + _AFTER_DELETION < backend.now()
    return meta.uid(obj) == reference["uid"] and not over


def _user(claims: dict[str, Any], private: Object) -> User:
    told = [("credential-id", f"JTI={claims['jti']}")]
    for part in ("node", "pod"):
        if part in private:
            told += [(f"{part}-name", private[part]["name"]), (f"{part}-uid", private[part]["uid"])]
    return User(
        claims["sub"], (GROUP, f"{GROUP}:{private['namespace']}", "system:authenticated"),
        private["serviceaccount"]["uid"], tuple((f"authentication.kubernetes.io/{key}", text) for key, text in told),
    )
