"""What a request and its answer are, and the transport that stays inside this process.

The API is a `Dispatch`: authentication and admission included, so that controllers pass the same door as
kubectl does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class User:
    """Who asks: the common name and the organisations of a client certificate, or what a token says."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, str], ...] = ()


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
ENGINE = User("system:vmpod", ("system:masters", "system:authenticated"))
"""The engine's own controllers and node agent."""


@dataclass(frozen=True)
class Request:
    """One HTTP request. `path` is decoded and has no query; header names are in lower case.

    With `shared` the caller lives in this process and is content with stored bytes: a list may be answered
    by `Response.items` and a watch by `Response.events`, so that both sides keep one copy.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    user: User = ANONYMOUS
    shared: bool = False


@dataclass(frozen=True)
class Response:
    """One HTTP answer: `body`, or `stream` when its length is not known (watch, logs).

    Only for a request that is `shared`: `items` are the JSON texts of a list at `revision`; `events` are the
    (type, JSON text) pairs of a watch. `revision` also tells at which one a write was stored.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None
    items: Sequence[bytes] | None = None
    events: AsyncIterator[tuple[str, bytes]] | None = None
    revision: int = 0


class Dispatch(Protocol):
    """The whole API as one callable. Failures are answers (a `Status` as body), never exceptions."""

    async def __call__(self, request: Request, /) -> Response: ...


class Transport(Protocol):
    """How a `Client` reaches an API."""

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        stream: bool = False,
    ) -> Response:
        """One request. With `stream` a good answer comes with `stream` or `events` instead of `body`."""
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...


class InProcess:
    """Calls the API of this process as a given user."""

    def __init__(self, dispatch: Dispatch, user: User) -> None:
        self._dispatch = dispatch
        self._user = user

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        stream: bool = False,
    ) -> Response:
        return await self._dispatch(
            Request(method, path, query or {}, headers or {}, body, self._user, shared=True)
        )

    async def close(self) -> None:
        return None
