"""Tokens in volumes: kept while they are fresh, asked for anew in time, bound to the pod and of its account."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.api.jwt import signed
from vmpod.base.errors import Problem
from vmpod.client.client import Client
from vmpod.client.inprocess import InProcess, Request, Response, User
from vmpod.kinds.parts.api_access import api_access
from vmpod.model import status
from vmpod.model.meta import Object
from vmpod.node.datafiles import read_files, write_files
from vmpod.node.tokens import Tokens
from vmpod.node.translate import tokens
from vmpod.node.translate.files import File, files
from vmpod.node.translate.tokens import Wanted
from vmpod.testing.clock import EPOCH

POD: Object = {"metadata": {"name": "web", "namespace": "shop", "uid": "u1"}, "spec": {"serviceAccountName": "robot"}}
VOLUME: Object = {"name": "v", "projected": {"sources": [
    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
    {"serviceAccountToken": {"path": "vault/token", "audience": "vault", "expirationSeconds": 600}},
]}}  # fmt: skip


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.at_s)

    def monotonic(self) -> float:
        return self.at_s


class Issuer:
    """Gives tokens as the API does, by a clock of its own."""

    def __init__(self) -> None:
        self.clock = Hands()
        self.asked: list[tuple[str, Any]] = []
        self.refusal: status.ApiError | None = None

    async def __call__(self, request: Request, /) -> Response:
        spec = orjson.loads(request.body)["spec"]
        self.asked.append((request.path, spec))
        if self.refusal:
            return Response(self.refusal.code, body=orjson.dumps(self.refusal.to_status()))
        now = int(self.clock.now().timestamp())
        token = signed(b"key", {
            "iss": "us", "aud": spec.get("audiences") or ["us"], "iat": now, "exp": now + spec["expirationSeconds"],
            "kubernetes.io": {"pod": {"name": "web", "uid": spec["boundObjectRef"]["uid"]}}, "n": len(self.asked),
        })  # fmt: skip
        return Response(201, body=orjson.dumps({"status": {"token": token}}))


async def test_tokens_are_kept_and_replaced_in_time(tmp_path: Path) -> None:
    issuer = Issuer()
    held = Tokens(Client(InProcess(issuer, User("node"))), issuer.clock)
    first = await held.of(VOLUME, POD, tmp_path)
    assert issuer.asked[0] == ("/api/v1/namespaces/shop/serviceaccounts/robot/token", {
        "expirationSeconds": 3600, "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "web", "uid": "u1"},
    })  # fmt: skip
    assert issuer.asked[1][1]["audiences"] == ["vault"]
    write_files(tmp_path, files(VOLUME, POD, lambda kind, name: None, first) or [])
    assert read_files(tmp_path) == first
    issuer.clock.at_s = 479
    assert await Tokens(Client(InProcess(issuer, User("node"))), issuer.clock).of(VOLUME, POD, tmp_path) == first, "a new engine keeps them"
    assert list(held.due()) == []
    issuer.clock.at_s = 481
    assert list(held.due()) == ["u1"]
    second = await held.of(VOLUME, POD, tmp_path)
    assert second["token"] == first["token"] and second["vault/token"] != first["vault/token"]
    assert list(held.due()) == []
    held.forget("u1")
    issuer.clock.at_s = 86400
    assert list(held.due()) == []


async def test_what_is_refused_is_told(tmp_path: Path) -> None:
    issuer = Issuer()
    issuer.refusal = status.not_found("serviceaccounts", "robot")
    with pytest.raises(Problem, match='failed to fetch token: serviceaccounts "robot" not found'):
        await Tokens(Client(InProcess(issuer, User("node"))), issuer.clock).of(VOLUME, POD, tmp_path)


async def test_other_volumes_ask_for_nothing(tmp_path: Path) -> None:
    issuer = Issuer()
    assert await Tokens(Client(InProcess(issuer, User("node")))).of({"name": "e", "emptyDir": {}}, POD, tmp_path) == {}
    assert issuer.asked == []


def test_every_pods_volume() -> None:
    root_ca = {"data": {"ca.crt": "CA"}}
    made = files({"name": "k", "projected": api_access()}, POD, lambda kind, name: root_ca, {"token": b"T"})
    assert made == [File("token", b"T"), File("ca.crt", b"CA"), File("namespace", b"shop")]


@given(st.binary(max_size=60))
def test_noise_is_no_token(noise: bytes) -> None:
    assert not tokens.is_fresh(noise, Wanted("token", 600), POD, EPOCH)


@pytest.mark.parametrize("change", [
    {"aud": ["others"]}, {"kubernetes.io": {"pod": {"uid": "u2"}}}, {"iat": 0, "exp": 600},
])
def test_a_token_for_something_else_is_replaced(change: Object) -> None:
    now = EPOCH
    since = int(now.timestamp())
    claims = {"iss": "us", "aud": ["us"], "iat": since, "exp": since + 600, "kubernetes.io": {"pod": {"uid": "u1"}}}
    assert tokens.is_fresh(signed(b"k", claims).encode(), Wanted("t", 600), POD, now)
    assert not tokens.is_fresh(signed(b"k", claims | change).encode(), Wanted("t", 600), POD, now)
