"""The tokens in the volumes of pods: asked of the API, kept in the volume, replaced in time.

What is in a volume is all that is known of a token, so an engine that comes back goes on with those that are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import orjson

from vmpod.base.clock import Clock, SystemClock
from vmpod.base.errors import Problem
from vmpod.client.client import Client
from vmpod.client.wire import JSON
from vmpod.kinds import SERVICEACCOUNT
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.model.status import ApiError
from vmpod.node.datafiles import read_files
from vmpod.node.translate import tokens
from vmpod.node.translate.tokens import Wanted


class Tokens:
    """Tokens for volumes, and when each pod's are to be replaced."""

    def __init__(self, client: Client, clock: Clock | None = None) -> None:
        self._client = client
        self._clock = clock or SystemClock()
        self._due: dict[str, dict[Path, float]] = {}

    async def of(self, volume: Object, pod: Object, folder: Path) -> dict[str, bytes]:
        """The tokens of a volume that lies in `folder`, by path. Raises Problem when one is not to be had."""
        asked = list(tokens.wanted(volume))
        if not asked:
            return {}
        held = await asyncio.to_thread(read_files, folder)
        found = {one.path: await self._one(held.get(one.path, b""), one, pod) for one in asked}
        ends = [end for one in asked if (end := tokens.renewal(found[one.path], one, pod)) is not None]
        self._due.setdefault(meta.uid(pod), {})[folder] = min(ends, default=0.0)
        return found

    async def _one(self, held: bytes, one: Wanted, pod: Object) -> bytes:
        if tokens.is_fresh(held, one, pod, self._clock.now()):
            return held
        account = str(meta.get(pod, "spec", "serviceAccountName") or "default")
        path = SERVICEACCOUNT.path(meta.namespace(pod), account, "token")
        try:
            body = orjson.dumps(tokens.request(one, pod))
            answer = await self._client.raw("POST", path, headers=JSON, body=body)
        except ApiError as error:
            raise Problem("make the volume", f"failed to fetch token: {error.message}", reason="FailedMount") from None
        return str(orjson.loads(answer.body)["status"]["token"]).encode()

    def due(self) -> Iterator[str]:
        """The pods with a token that is to be replaced now."""
        now = self._clock.now().timestamp()
        return (pod_uid for pod_uid, ends in list(self._due.items()) if min(ends.values()) <= now)

    def forget(self, pod_uid: str) -> None:
        """The pod is gone."""
        self._due.pop(pod_uid, None)
