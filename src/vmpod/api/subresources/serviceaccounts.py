"""POST …/token of a ServiceAccount (TokenRequest): `kubectl create token`, and the node for the pods' volumes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import orjson

from vmpod.api import accounts, body, representation
from vmpod.api.accounts import Grant
from vmpod.api.call import Call
from vmpod.base import clock
from vmpod.client.inprocess import Response
from vmpod.kinds import NODE, POD, SECRET
from vmpod.model import meta, status
from vmpod.model.meta import Object

_DEFAULT_S: Final = 3600
_SHORTEST_S: Final = 600
_LONGEST_S: Final = 1 << 32
_KINDS: Final = {"Pod": POD, "Secret": SECRET}
_GONE: Final = (
    "the UID in the bound object reference ({}) does not match the UID in record. "
    "The object might have been deleted and then recreated"
)


async def token(call: Call) -> Response:
    """201 with `status.token`; nothing is kept of it."""
    account = orjson.loads(call.current().value)
    asked = body.read_object(call) if call.request.body else {}
    spec: dict[str, Any] = dict(asked.get("spec") or {})
    seconds = spec["expirationSeconds"] = _seconds(call, spec)
    audiences = spec["audiences"] = list(spec.get("audiences") or (accounts.ISSUER,))
    bound = _bound(call, spec.get("boundObjectRef") or {})
    now = call.backend.now()
    grant = Grant(account, tuple(audiences), seconds, bound, _node(call, bound))
    answer = {
        "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": call.name, "namespace": call.namespace, "creationTimestamp": clock.rfc3339(now)},
        "spec": spec,
        "status": {"token": accounts.issue(call.backend.config.account_key, grant, now),
                   "expirationTimestamp": clock.rfc3339(now + timedelta(seconds=seconds))},
    }  # fmt: skip
    return representation.body_response(call, answer, 201)


def _seconds(call: Call, spec: Object) -> int:
    """How long the token lasts. Raises ApiError 422."""
    seconds = spec.get("expirationSeconds")
    seconds = _DEFAULT_S if seconds is None else seconds
    why = ""
    if not isinstance(seconds, int) or seconds < _SHORTEST_S:
        why = "may not specify a duration less than 10 minutes"
    elif seconds > _LONGEST_S:
        why = "may not specify a duration larger than 2^32 seconds"
    if why:
        fault = status.wrong("spec.expirationSeconds", seconds, why)
        raise status.invalid("TokenRequest", call.name, [fault], "authentication.k8s.io")
    return int(seconds)


def _bound(call: Call, reference: Object) -> Object | None:
    """The object that the token is to end with. Raises ApiError 400, 404 or 409."""
    if not reference:
        return None
    kind = _KINDS.get(str(reference.get("kind")))
    if kind is None or reference.get("apiVersion", "v1") != "v1":
        told = f"{reference.get('apiVersion', '')}, Kind={reference.get('kind', '')}"
        raise status.bad_request(f"cannot bind token to object of type {told}")
    held = orjson.loads(call.about(kind, call.namespace, str(reference.get("name", ""))).current().value)
    if kind is POD and meta.get(held, "spec", "serviceAccountName") != call.name:
        raise status.bad_request(
            f"cannot bind token for serviceaccount {status.quote(call.name)} to pod running with different "
            "serviceaccount name."
        )
    if reference.get("uid") and reference["uid"] != meta.uid(held):
        raise status.conflict(str(reference["kind"]), meta.name(held), _GONE.format(reference["uid"]))
    return {**held, "kind": reference["kind"]}


def _node(call: Call, bound: Object | None) -> Object | None:
    name = meta.get(bound, "spec", "nodeName") if bound else ""
    record = call.store.get(NODE.resource, "", name) if name else None
    return orjson.loads(record.value) if record else None
