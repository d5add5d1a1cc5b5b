"""The wire forms that all clients share: selectors, delete options, watch lines, errors. Quick to import."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

JSON = {"content-type": "application/json", "accept": "application/json"}
PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}
_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


def selectors(labels: str = "", fields: str = "") -> dict[str, str]:
    """The query of a list or watch."""
    named = {"labelSelector": labels, "fieldSelector": fields}
    return {key: value for key, value in named.items() if value}


def delete_options(
    *, uid: str = "", revision: str = "", grace_s: int | None = None, propagation: str = ""
) -> dict[str, Any]:
    """A meta/v1 DeleteOptions."""
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
    named = {"uid": uid, "resourceVersion": revision}
    if preconditions := {key: value for key, value in named.items() if value}:
        options["preconditions"] = preconditions
    if grace_s is not None:
        options["gracePeriodSeconds"] = grace_s
    if propagation:
        options["propagationPolicy"] = propagation
    return options


def error_status(code: int, body: bytes) -> dict[str, Any]:
    """The Status that an answer of 400 or more carries, or one made of its text (a proxy's page, say)."""
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return status
    text = body.decode(errors="replace").strip()[:500] or f"the server answered with code {code}"
    reason = _REASONS.get(code, "Unknown")
    return {
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "message": text, "reason": reason, "code": code,
    }  # fmt: skip


async def lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The lines of a stream of bytes, without their ends; empty ones are left out."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield line
    if rest.strip():
        yield rest
