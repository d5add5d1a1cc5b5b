"""The one error that crosses the API: metav1.Status.

Texts and codes are those of k8s.io/apimachinery/pkg/api/errors and pkg/util/validation/field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from vmpod.base.errors import Problem
from vmpod.model.meta import Object

REQUIRED: Final = "FieldValueRequired"
DUPLICATE: Final = "FieldValueDuplicate"
INVALID: Final = "FieldValueInvalid"
NOT_SUPPORTED: Final = "FieldValueNotSupported"
FORBIDDEN: Final = "FieldValueForbidden"
NOT_FOUND: Final = "FieldValueNotFound"
TOO_LONG: Final = "FieldValueTooLong"
TOO_MANY: Final = "FieldValueTooMany"
INTERNAL: Final = "InternalError"
TYPE_INVALID: Final = "FieldValueTypeInvalid"

_LABELS: Final = {
    REQUIRED: "Required value", DUPLICATE: "Duplicate value", INVALID: "Invalid value",
    NOT_SUPPORTED: "Unsupported value", FORBIDDEN: "Forbidden", NOT_FOUND: "Not found",
    TOO_LONG: "Too long", TOO_MANY: "Too many", INTERNAL: "Internal error", TYPE_INVALID: "Invalid value",
}
_WITHOUT_VALUE: Final = frozenset({REQUIRED, FORBIDDEN, TOO_LONG, INTERNAL})

_REASONS: Final = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed",
    406: "NotAcceptable", 409: "Conflict", 410: "Gone", 413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType", 422: "Invalid", 429: "TooManyRequests", 500: "InternalError",
    503: "ServiceUnavailable", 504: "Timeout",
}


@dataclass(frozen=True)
class FieldError:
    """One fault of one field, as in apimachinery's field.Error.

    `type` is one of the constants above. For NOT_SUPPORTED the `message` is what follows the value: the
    function `not_supported` makes it.
    """

    path: str
    type: str
    message: str = ""
    value: Any = None

    @property
    def body(self) -> str:
        """The fault without its path: `Invalid value: "x": must be …`."""
        label = _LABELS.get(self.type, self.type)
        text = label if self.type in _WITHOUT_VALUE else f"{label}: {_spell(self.value)}"
        return f"{text}: {self.message}" if self.message else text

    def __str__(self) -> str:
        return f"{self.path}: {self.body}" if self.path else self.body

    def to_cause(self) -> Object:
        """The metav1.StatusCause of the fault."""
        cause = {"reason": self.type, "message": self.body, "field": self.path}
        return {key: text for key, text in cause.items() if text}


def _spell(value: Any) -> str:
    """A value as field.Error prints it: text quoted, numbers bare, anything else as JSON."""
    if value is None:
        return "null"
    return orjson.dumps(value).decode() if not isinstance(value, str) else quote(value)


def quote(text: str) -> str:
    """Text in double quotes as Go's %q writes it (for printable text the same as JSON)."""
    return orjson.dumps(text).decode()


def not_supported(path: str, value: Any, supported: Sequence[str]) -> FieldError:
    """field.NotSupported: names the values that would do, in the given order."""
    known = ", ".join(quote(text) for text in supported)
    return FieldError(path, NOT_SUPPORTED, f"supported values: {known}" if known else "", value)


def required(path: str, message: str = "") -> FieldError:
    """field.Required."""
    return FieldError(path, REQUIRED, message)


def wrong(path: str, value: Any, message: str) -> FieldError:
    """field.Invalid."""
    return FieldError(path, INVALID, message, value)


def refused(path: str, message: str) -> FieldError:
    """field.Forbidden."""
    return FieldError(path, FORBIDDEN, message)


def duplicate(path: str, value: Any) -> FieldError:
    """field.Duplicate."""
    return FieldError(path, DUPLICATE, "", value)


class ApiError(Problem):
    """A failed request: `code` is the HTTP status, `reason` metav1.StatusReason, `message` for people.

    `details` is metav1.StatusDetails (name, group, kind, causes, retryAfterSeconds).
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        fix: str = "",
    ) -> None:
        super().__init__("complete the request", message, fix, reason)
        self.args = (message,)
        self.code = code
        self.reason = reason
        self.message = message
        self.details: dict[str, Any] = dict(details or {})

    def render(self) -> str:
        """As kubectl prints a failed request, then the way out if one is known."""
        source = f"Error from server ({self.reason})" if self.reason else "Error from server"
        text = f"{source}: {self.message}"
        return f"{text}\n  {self.fix}" if self.fix else text

    def to_status(self) -> Object:
        """The body of the response. One of 404 always has details: kubectl (debug) looks into them unseen."""
        status: Object = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "details": self.details, "code": self.code,
        }
        kept = ("metadata", "details") if self.code == 404 else ("metadata",)
        return {key: value for key, value in status.items() if value not in ("", {}) or key in kept}


def from_status(status: Mapping[str, Any], code: int = 0) -> ApiError:
    """The error that a Status body tells of; `code` is the HTTP status, for bodies that carry none."""
    number = int(status.get("code") or code or 500)
    reason = str(status.get("reason") or "")
    message = str(status.get("message") or _REASONS.get(number, "unknown"))
    return ApiError(number, reason, message, status.get("details"))


def success(details: Mapping[str, Any] | None = None) -> Object:
    """The Status of a request that worked and has no other answer, e.g. a delete."""
    status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return status | ({"details": dict(details)} if details else {})


def _about(resource: str, name: str) -> Object:
    plural, _, group = resource.partition(".")
    about = {"name": name, "group": group, "kind": plural}
    return {key: text for key, text in about.items() if text}


def not_found(resource: str, name: str) -> ApiError:
    """404; `resource` as Kind.resource spells it: `pods`, `deployments.apps`."""
    return ApiError(404, "NotFound", f"{resource} {quote(name)} not found", _about(resource, name))


def no_route() -> ApiError:
    """404 for a path that names nothing the server serves."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: str, name: str) -> ApiError:
    """409 on create."""
    return ApiError(409, "AlreadyExists", f"{resource} {quote(name)} already exists", _about(resource, name))


MODIFIED: Final = (
    "the object has been modified; please apply your changes to the latest version and try again"
)  # registry.OptimisticLockErrorMsg


def conflict(resource: str, name: str, why: str = MODIFIED) -> ApiError:
    """409 on a write that does not fit the stored object."""
    message = f"Operation cannot be fulfilled on {resource} {quote(name)}: {why}"
    return ApiError(409, "Conflict", message, _about(resource, name))


def invalid(kind: str, name: str, errors: Sequence[FieldError], group: str = "") -> ApiError:
    """422 with every fault; `kind` may be qualified: `Deployment.apps`."""
    kind, _, dotted = kind.partition(".")
    group = group or dotted
    texts = list(dict.fromkeys(str(error) for error in errors))
    told = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    title = f"{kind}.{group}" if group else kind
    details = {"name": name, "group": group, "kind": kind, "causes": [error.to_cause() for error in errors]}
    message = f"{title} {quote(name)} is invalid" + (f": {told}" if texts else "")
    return ApiError(422, "Invalid", message, {key: value for key, value in details.items() if value})


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def unauthorized(message: str = "Unauthorized") -> ApiError:
    """401."""
    return ApiError(401, "Unauthorized", message)


def forbidden(resource: str, name: str, why: str) -> ApiError:
    """403; a request that names no object leaves `name` empty."""
    subject = f"{resource} {quote(name)}" if name else resource
    message = f"{subject} is forbidden: {why}" if resource else f"forbidden: {why}"
    return ApiError(403, "Forbidden", message, _about(resource, name))


def gone(message: str) -> ApiError:
    """410: the revision asked for is no longer kept; clients list again."""
    return ApiError(410, "Expired", message)


def method_not_allowed(resource: str, verb: str) -> ApiError:
    """405."""
    message = f"{verb} is not supported on resources of kind {quote(resource)}"
    return ApiError(405, "MethodNotAllowed", message, _about(resource, ""))


def not_acceptable(accepted: Sequence[str]) -> ApiError:
    """406; `accepted` are the media types that the server can answer with."""
    known = ", ".join(accepted)
    return ApiError(406, "NotAcceptable", f"only the following media types are accepted: {known}")


def unsupported_media_type(supported: Sequence[str]) -> ApiError:
    """415; `supported` are the media types of bodies that the server can read."""
    known = ", ".join(supported)
    message = f"the body of the request was in an unknown format - accepted media types include: {known}"
    return ApiError(415, "UnsupportedMediaType", message)


def too_large(message: str) -> ApiError:
    """413."""
    return ApiError(413, "RequestEntityTooLarge", f"Request entity is too large: {message}")


def too_many_requests(message: str, retry_s: int) -> ApiError:
    """429 with the seconds to wait."""
    return ApiError(429, "TooManyRequests", message, {"retryAfterSeconds": retry_s})


def timeout(message: str) -> ApiError:
    """504."""
    return ApiError(504, "Timeout", f"Timeout: {message}")


def unavailable(message: str) -> ApiError:
    """503."""
    return ApiError(503, "ServiceUnavailable", message)


def internal(why: str | BaseException) -> ApiError:
    """500."""
    cause = {"message": str(why)}
    return ApiError(500, "InternalError", f"Internal error occurred: {why}", {"causes": [cause]})
