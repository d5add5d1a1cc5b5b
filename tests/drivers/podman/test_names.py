from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.base.errors import Problem
from vmpod.drivers.podman import names


@pytest.mark.parametrize(
    ("text", "remote", "local"),
    [
        ("nginx", "docker.io/library/nginx:latest", ("nginx:latest", "localhost/nginx:latest", "docker.io/library/nginx:latest")),
        ("shop/web:1", "docker.io/shop/web:1", ("shop/web:1", "localhost/shop/web:1", "docker.io/shop/web:1")),
        ("localhost/web:1", "localhost/web:1", ("localhost/web:1",)),
        ("127.0.0.1:5000/a/b:2", "127.0.0.1:5000/a/b:2", ("127.0.0.1:5000/a/b:2",)),
        ("quay.io/x/y", "quay.io/x/y:latest", ("quay.io/x/y:latest",)),
    ],
)
def test_what_a_name_means(text: str, remote: str, local: tuple[str, ...]) -> None:
    name = names.parse(text)
    assert (name.remote, name.local) == (remote, local)


def test_a_digest_stands_for_the_tag() -> None:
    digest = "sha256:" + "a" * 64
    assert names.parse(f"quay.io/x/y:1@{digest}").remote == f"quay.io/x/y@{digest}"


@pytest.mark.parametrize("text", ["127.0.0.1:5000/a", "localhost:5000/a", "localhost/a", "[::1]:5000/a"])
def test_loopback_registries(text: str) -> None:
    assert names.parse(text).is_loopback


def test_a_public_registry_is_none() -> None:
    assert not names.parse("quay.io/a").is_loopback


@pytest.mark.parametrize("text", ["", "Not An Image", "a:b:c", "a@sha256:1", "/a", "a/", "UPPER", "a:"])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(Problem, match="couldn't parse image name") as caught:
        names.parse(text)
    assert caught.value.reason == "InvalidImageName"


def test_upper_case_is_named_as_the_fault() -> None:
    with pytest.raises(Problem, match=r"repository name \(library/BAD\) must be lowercase"):
        names.parse("BAD")


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_a_problem(text: str) -> None:
    try:
        assert names.parse(text).local
    except Problem:
        pass
