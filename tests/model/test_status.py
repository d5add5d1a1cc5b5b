from __future__ import annotations

import pytest

from vmpod.base.errors import Problem
from vmpod.model import status
from vmpod.model.status import ApiError, FieldError

CASES: list[tuple[ApiError, int, str, str]] = [
    (status.not_found("pods", "x"), 404, "NotFound", 'pods "x" not found'),
    (status.not_found("deployments.apps", "x"), 404, "NotFound", 'deployments.apps "x" not found'),
    (status.already_exists("pods", "x"), 409, "AlreadyExists", 'pods "x" already exists'),
    (status.conflict("pods", "x"), 409, "Conflict", 'Operation cannot be fulfilled on pods "x": the object has been modified; '
     "please apply your changes to the latest version and try again"),
    (status.bad_request("no"), 400, "BadRequest", "no"),
    (status.unauthorized(), 401, "Unauthorized", "Unauthorized"),
    (status.forbidden("pods", "x", "no"), 403, "Forbidden", 'pods "x" is forbidden: no'),
    (status.forbidden("pods", "", "no"), 403, "Forbidden", "pods is forbidden: no"),
    (status.gone("too old resource version: 1 (2)"), 410, "Expired", "too old resource version: 1 (2)"),
    (status.method_not_allowed("nodes", "connect"), 405, "MethodNotAllowed", 'connect is not supported on resources of kind "nodes"'),
    (status.not_acceptable(["a/b", "c/d"]), 406, "NotAcceptable", "only the following media types are accepted: a/b, c/d"),
    (status.unsupported_media_type(["a/b"]), 415, "UnsupportedMediaType",
     "the body of the request was in an unknown format - accepted media types include: a/b"),
    (status.too_large("limit is 3"), 413, "RequestEntityTooLarge", "Request entity is too large: limit is 3"),
    (status.internal("boom"), 500, "InternalError", "Internal error occurred: boom"),
    (status.no_route(), 404, "NotFound", "the server could not find the requested resource"),
    (status.timeout("x"), 504, "Timeout", "Timeout: x"),
    (status.unavailable("x"), 503, "ServiceUnavailable", "x"),
    (status.too_many_requests("x", 2), 429, "TooManyRequests", "x"),
]


@pytest.mark.parametrize(("error", "code", "reason", "message"), CASES)
def test_texts_and_codes(error: ApiError, code: int, reason: str, message: str) -> None:
    assert isinstance(error, Problem)
    assert (error.code, error.reason, error.message, str(error)) == (code, reason, message, message)
    body = error.to_status()
    assert (body["kind"], body["status"], body["code"]) == ("Status", "Failure", code)
    again = status.from_status(body)
    assert again.to_status() == body
    assert error.render() == f"Error from server ({reason}): {message}"


def test_details_name_the_object() -> None:
    assert status.not_found("deployments.apps", "x").details == {"name": "x", "group": "apps", "kind": "deployments"}


FAULTS = [
    (status.required("spec.x"), "spec.x: Required value"), (status.required("a", "must be"), "a: Required value: must be"),
    (status.wrong("a", "b", "no"), 'a: Invalid value: "b": no'), (status.wrong("a", 3, "no"), "a: Invalid value: 3: no"),
    (status.wrong("a", True, "no"), "a: Invalid value: true: no"), (status.wrong("a", {"b": 1}, "no"), 'a: Invalid value: {"b":1}: no'),
    (status.wrong("a", None, "no"), "a: Invalid value: null: no"), (status.refused("a", "no"), "a: Forbidden: no"),
    (status.duplicate("a", "b"), 'a: Duplicate value: "b"'),
    (status.not_supported("a", "b", ["c", "d"]), 'a: Unsupported value: "b": supported values: "c", "d"'),
    (FieldError("a", status.TOO_LONG, "may not be more than 3 bytes", "xxxx"), "a: Too long: may not be more than 3 bytes"),
    (FieldError("a", status.NOT_FOUND, "", "b"), 'a: Not found: "b"'),
]


@pytest.mark.parametrize(("fault", "text"), FAULTS)
def test_field_errors(fault: FieldError, text: str) -> None:
    assert str(fault) == text


def test_invalid() -> None:
    one = status.invalid("Deployment.apps", "x", [status.required("spec.a")])
    assert one.message == 'Deployment.apps "x" is invalid: spec.a: Required value'
    assert one.details == {"name": "x", "group": "apps", "kind": "Deployment", "causes": [
        {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.a"}]}
    two = status.invalid("Pod", "x", [status.required("a"), status.required("b"), status.required("a")])
    assert two.message == 'Pod "x" is invalid: [a: Required value, b: Required value]'
    assert status.invalid("Pod", "x", []).message == 'Pod "x" is invalid'


def test_foreign_status() -> None:
    error = status.from_status({}, 404)
    assert (error.code, error.reason, error.message) == (404, "", "NotFound")
    assert error.render() == "Error from server: NotFound"


def test_success() -> None:
    assert status.success() == {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    assert status.success({"name": "x"})["details"] == {"name": "x"}


def test_a_404_always_has_details() -> None:
    assert status.no_route().to_status()["details"] == {}
    assert "details" not in status.unauthorized().to_status()
