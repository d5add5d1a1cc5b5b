"""POST of reviews: who clients are and what they may do (`kubectl auth`), and whose a token is. Nothing is stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from vmpod.api import accounts, body, representation, rights
from vmpod.api.call import Call
from vmpod.client.inprocess import Response, User
from vmpod.model import status
from vmpod.model.meta import Object


def _review(kind: str, answer: Callable[[Call, Object], dict[str, Any]]) -> Callable[[Call], Awaitable[Response]]:
    async def review(call: Call) -> Response:
        asked = body.read_object(call)
        group_version = call.request.path.removeprefix("/apis/").rpartition("/")[0]
        spec = asked.get("spec") or {}
        told = {"kind": kind, "apiVersion": group_version, "metadata": {}, "spec": spec}
        return representation.body_response(call, told | {"status": answer(call, spec)}, 201)

    return review


def _who(call: Call, spec: Object) -> Object:
    return {"userInfo": _user_info(call.request.user)}


def _user_info(user: User) -> Object:
    told: Object = {"username": user.name, "groups": list(user.groups)}
    told |= {"uid": user.uid} if user.uid else {}
    return told | ({"extra": {key: [text] for key, text in user.extra}} if user.extra else {})


def _access(call: Call, spec: Object) -> Object:
    user = call.request.user
    if rights.is_bounded(user):
        return {"allowed": rights.may(user, rights.asked_about(spec))}
    return {"allowed": True, "reason": rights.WHY}


def _token(call: Call, spec: Object) -> Object:
    """Whose a token is. Raises ApiError 400 without one."""
    if not spec.get("token"):
        raise status.bad_request("token is required for TokenReview in authentication")
    found = accounts.user_of(call.backend, str(spec["token"]), spec.get("audiences") or (accounts.ISSUER,))
    if found is None:
        return {"user": {}, "error": "invalid bearer token, or one for other audiences"}
    return {"authenticated": True, "user": _user_info(found[0]), "audiences": list(found[1])}


access: Final = _review("SelfSubjectAccessReview", _access)
rules: Final = _review("SelfSubjectRulesReview", lambda call, spec: rights.rules(call.request.user))
whoami: Final = _review("SelfSubjectReview", _who)
token: Final = _review("TokenReview", _token)
