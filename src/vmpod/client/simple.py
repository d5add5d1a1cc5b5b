"""The command line's client: blocking, and quick to import. The same verbs as `client.Client`.

One connection is kept alive; a watch has a connection of its own.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import quote, urlencode

from vmpod.base.errors import Problem
from vmpod.client import http1, kubeconfig
from vmpod.client.http1 import Answer, Lost, Wire
from vmpod.client.kubeconfig import Context
from vmpod.client.wire import JSON, PATCH_TYPES, delete_options, error_status, selectors

if TYPE_CHECKING:
    from pathlib import Path

    from vmpod.client.websocket import WebSocket
    from vmpod.kinds.kind import Kind

Object = dict[str, Any]
_REPEATABLE = ("GET", "HEAD", "PUT", "DELETE")


class Listed(NamedTuple):
    """The items of a list (each with apiVersion and kind) and the revision at which they were read."""

    items: list[Object]
    revision: int


class Answered(NamedTuple):
    """A whole answer. `warnings` are the texts of its Warning headers."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    warnings: tuple[str, ...] = ()


class SimpleClient:
    """Talks to the server of one context. Failed requests raise ApiError, a dead server raises Problem.

    `timeout_s` seconds without a byte end a request (not a watch).
    """

    def __init__(self, context: Context, *, timeout_s: float = 60.0) -> None:
        self.context = context
        self.warnings: list[str] = []
        self._timeout_s = timeout_s
        self._wire: Wire | None = None

    @classmethod
    def load(cls, path: Path | str | None = None, context: str = "") -> SimpleClient:
        """A client for a context of a kubeconfig file (see `kubeconfig.load`)."""
        return cls(kubeconfig.load(path, context))

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # requests

    def raw(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answered:
        """One request as it is. Raises ApiError when the status code is 400 or more."""
        answer = self._exchange(method, target(path, query), headers or {}, body)
        try:
            text = answer.read()
        except (Lost, OSError) as error:
            self.close()
            raise self._lost(error) from None
        if answer.ends_connection:
            self.close()
        self.warnings += answer.warnings
        if answer.status >= 400:
            raise _failure(answer.status, text)
        return Answered(answer.status, answer.headers, text, tuple(answer.warnings))

    def _exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Over the kept connection, or a new one.

        A request that was sent is sent once more only when doing it twice is the same as once.
        """
        kept = self._wire is not None and not self._wire.is_stale
        try:
            return self._send(method, path, headers, body, fresh=not kept)
        except (Lost, OSError) as error:
            if not kept or method not in _REPEATABLE or isinstance(error, TimeoutError):
                raise self._lost(error) from None
        try:
            return self._send(method, path, headers, body, fresh=True)
        except (Lost, OSError) as error:
            raise self._lost(error) from None

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: bytes, *, fresh: bool) -> Answer:
        if fresh or self._wire is None:
            self.close()
            self._wire = http1.connect(self.context, self._timeout_s)
        try:
            return http1.exchange(self._wire, self.context, method, path, headers, body)
        except (Lost, OSError):
            self.close()
            raise

    def _lost(self, error: Exception) -> Problem:
        return Problem(f"talk to {self.context.server}", str(error), "vmpod engine status", "Unreachable")

    def stream(self, path: str, *, query: Mapping[str, str] | None = None) -> Generator[bytes, None, None]:
        """The body of a GET in pieces, as they arrive, for as long as the server likes (logs -f)."""
        wire, answer = self._open(path, query)
        try:
            yield from answer.chunks()
        except Lost:
            return
        finally:
            wire.close()

    def _open(self, path: str, query: Mapping[str, str] | None) -> tuple[Wire, Answer]:
        wire = http1.connect(self.context, self._timeout_s)
        try:
            answer = http1.exchange(wire, self.context, "GET", target(path, query), {}, b"")
            if answer.status >= 400:
                raise _failure(answer.status, answer.read())
            wire.set_timeout(None)
        except (Lost, OSError) as error:
            wire.close()
            raise self._lost(error) from None
        except Problem:
            wire.close()
            raise
        return wire, answer

    def socket(self, path: str, *, query: Mapping[str, str] | None = None, protocol: str) -> WebSocket:
        """Open a WebSocket with a subprotocol. Raises ApiError when the server refuses."""
        from vmpod.client.websocket import WebSocket

        return WebSocket.open(self.context, target(path, query), protocol, self._timeout_s)

    # verbs

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """One object. Raises ApiError (404 NotFound)."""
        return _object(self.raw("GET", kind.path(namespace, name)))

    def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One object, None when there is none."""
        from vmpod.model.status import ApiError

        try:
            return self.get(kind, namespace, name)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def list(self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "") -> Listed:
        """All objects of a kind, in one namespace or (namespace "") in all."""
        body = _object(self.raw("GET", kind.path(namespace), query=selectors(labels, fields)))
        head = {"apiVersion": kind.api_version, "kind": kind.kind}
        revision = str((body.get("metadata") or {}).get("resourceVersion") or "0")
        return Listed(
            [{**head, **item} for item in body.get("items") or ()],
            int(revision) if revision.isdecimal() else 0,
        )

    def watch(
        self, kind: Kind, namespace: str = "", *, revision: int, labels: str = "", fields: str = ""
    ) -> Generator[tuple[str, Object], None, None]:
        """What happens after `revision`, until the server ends it or the generator is closed."""
        query = {**selectors(labels, fields), "watch": "true", "resourceVersion": str(revision)}
        wire, answer = self._open(kind.path(namespace), query)
        try:
            for line in answer.lines():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise _failure(int(event["object"].get("code") or 500), json.dumps(event["object"]).encode())
                yield event["type"], event["object"]
        except Lost:
            return
        finally:
            wire.close()

    def create(self, kind: Kind, obj: Object) -> Object:
        """Create an object in the namespace that its metadata names. Raises ApiError (409 AlreadyExists, 422)."""
        namespace = str((obj.get("metadata") or {}).get("namespace") or "")
        return _object(self.raw("POST", kind.path(namespace), headers=JSON, body=_text(obj)))

    def update(self, kind: Kind, obj: Object, *, subresource: str = "") -> Object:
        """Replace an object, or only its `subresource`. Raises ApiError (409 when its revision is old)."""
        metadata = obj.get("metadata") or {}
        path = kind.path(str(metadata.get("namespace") or ""), str(metadata.get("name") or ""), subresource)
        return _object(self.raw("PUT", path, headers=JSON, body=_text(obj)))

    def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Any,
        *,
        patch_type: str = "merge",
        subresource: str = "",
    ) -> Object:
        """Change part of an object by a "merge", "json" or "strategic" patch."""
        headers = {"content-type": PATCH_TYPES[patch_type], "accept": "application/json"}
        path = kind.path(namespace, name, subresource)
        return _object(self.raw("PATCH", path, headers=headers, body=_text(patch)))

    def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        revision: str = "",
        grace_s: int | None = None,
        propagation: str = "",
    ) -> Object:
        """Delete an object; its last state, or a Status. `uid` and `revision` are preconditions."""
        options = delete_options(uid=uid, revision=revision, grace_s=grace_s, propagation=propagation)
        return _object(self.raw("DELETE", kind.path(namespace, name), headers=JSON, body=_text(options)))


def target(path: str, query: Mapping[str, str] | None) -> str:
    """The request target of a decoded path and a query."""
    return quote(path, safe="/:@") + (f"?{urlencode(query, doseq=True)}" if query else "")


def _failure(code: int, body: bytes) -> Problem:
    from vmpod.model.status import from_status

    return from_status(error_status(code, body))


def _object(answer: Answered) -> Object:
    obj: Object = json.loads(answer.body)
    return obj


def _text(obj: Any) -> bytes:
    return json.dumps(obj).encode()
