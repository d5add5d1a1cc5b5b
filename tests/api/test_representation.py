"""Which form an Accept header asks for."""

from __future__ import annotations

import pytest

from vmpod.api.representation import Form, negotiate, warning_text
from vmpod.model.status import ApiError

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", Form()),
        ("*/*", Form()),
        ("application/yaml", Form("application/yaml")),
        (f"{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", Form(shape="Table")),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Form()),
        ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io," + TABLE, Form(shape="Table")),
        ("application/yaml;q=0.5, application/json;q=0.9", Form()),
        ("text/html,application/xhtml+xml,*/*;q=0.8", Form()),
    ],
)
def test_negotiation(header: str, wanted: Form) -> None:
    assert negotiate(header) == wanted


@pytest.mark.parametrize("header", ["text/html", "application/vnd.kubernetes.protobuf", "application/json;as=Nope;v=v1;g=x"])
def test_nothing_acceptable(header: str) -> None:
    with pytest.raises(ApiError) as refused:
        negotiate(header)
    assert refused.value.code == 406
    assert refused.value.message == "only the following media types are accepted: application/json, application/yaml"


def test_warnings_are_quoted() -> None:
    assert warning_text('unknown field "a"\n') == '299 - "unknown field \\"a\\""'
