"""POST of the reviews that clients make of themselves: who they are and what they may do (`kubectl auth`).

Nothing is stored, and every answer is yes: whoever shows a certificate of the home may do everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from vmpod.api import body, representation
from vmpod.api.call import Call
from vmpod.client.inprocess import Response

WHY: Final = "whoever has a certificate of this home may do everything"
_EVERYTHING: Final = {
    "incomplete": False,
    "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
}


def _review(kind: str, status: Callable[[Call], dict[str, Any]]) -> Callable[[Call], Awaitable[Response]]:
    async def review(call: Call) -> Response:
        asked = body.read_object(call)
        group_version = call.request.path.removeprefix("/apis/").rpartition("/")[0]
        answer = {"kind": kind, "apiVersion": group_version, "metadata": {}, "spec": asked.get("spec") or {}}
        return representation.body_response(call, answer | {"status": status(call)}, 201)

    return review


def _who(call: Call) -> dict[str, Any]:
    user = call.request.user
    return {"userInfo": {"username": user.name, "groups": list(user.groups)}}


access: Final = _review("SelfSubjectAccessReview", lambda call: {"allowed": True, "reason": WHY})
rules: Final = _review("SelfSubjectRulesReview", lambda call: dict(_EVERYTHING))
whoami: Final = _review("SelfSubjectReview", _who)
