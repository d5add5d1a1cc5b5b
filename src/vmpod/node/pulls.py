"""Images of containers: local ones by their names, others pulled in the background, failures with back-off."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Callable
from datetime import datetime, timedelta

import orjson

from vmpod.base.clock import Clock
from vmpod.base.errors import Problem
from vmpod.base.tasks import Tasks
from vmpod.client.cache import Cache
from vmpod.drivers.podman import names
from vmpod.drivers.podman.client import Podman
from vmpod.drivers.podman.images import Auth, Image
from vmpod.kinds import SECRET, SERVICEACCOUNT
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.node.memory import PodMemory
from vmpod.node.notices import Notices
from vmpod.node.seen import ImageState, find_container

FIRST_S, LONGEST_S = 10, 300
# What podman says when a registry cannot be asked at all, as opposed to one that answers no.
_UNREACHABLE = re.compile(
    r"connection refused|no such host|i/o timeout|network is unreachable|no route to host|server misbehaving"
    r"|context deadline exceeded|TLS handshake|connection reset|EOF|temporary failure in name resolution",
    re.IGNORECASE,
)


class Pulls:
    """Has images here. `finished(pod)` is called when something that ran in the background ended."""

    def __init__(
        self, podman: Podman, cache: Cache, notices: Notices, clock: Clock, finished: Callable[[Object], None]
    ) -> None:
        self._podman = podman
        self._cache = cache
        self._notices = notices
        self._clock = clock
        self._finished = finished
        self._tasks = Tasks()
        self._locks: dict[str, asyncio.Lock] = {}
        self._found: dict[tuple[str, str], Image] = {}

    async def stop(self) -> None:
        await self._tasks.stop()

    def image(self, pod: Object, container: str) -> Image | None:
        """The image that was found or pulled last for a container."""
        return self._found.get((meta.uid(pod), container))

    def forget(self, uid: str) -> None:
        for key in [key for key in self._found if key[0] == uid]:
            del self._found[key]

    async def ensure(self, pod: Object, container: str, attempt: int, memory: PodMemory) -> None:
        """Decide by the pull policy: the local image is noted at once, a pull goes on in the background."""
        before = memory.images.get(container)
        failures = before.failures if before is not None and before.attempt == attempt else 0
        spec = find_container(pod, container)
        text = str(spec.get("image", ""))
        try:
            name = names.parse(text)
            local = await self._podman.image(text)
        except Problem as problem:
            self._refuse_name(pod, container, attempt, memory, text, problem)
            return
        newest = name.tag == "latest" and not name.digest
        policy = str(spec.get("imagePullPolicy") or ("Always" if newest else "IfNotPresent"))
        built_here = local is not None and local.name.startswith("localhost/")
        if local is not None and (policy != "Always" or built_here):
            if policy == "Always":
                self._tell_local(pod, text, "it was built here and is at no registry")
            self._have(pod, container, attempt, memory, local, text)
        elif policy == "Never":
            said = f'Container image "{text}" is not present with pull policy of Never'
            self._fail(pod, container, attempt, memory, "ErrImageNeverPull", said, failures)
        else:
            memory.images[container] = ImageState(attempt, "pulling", failures=failures)
            work = self._pull(pod, container, attempt, memory, local, failures)
            self._tasks.start(work, f"pull {text}")

    def _have(
        self, pod: Object, container: str, attempt: int, memory: PodMemory, image: Image, text: str
    ) -> None:
        said = f'Container image "{text}" already present on machine and can be accessed by the pod'
        self._notices.normal(pod, "Pulled", said)
        self._ready(pod, container, attempt, memory, image)

    def _ready(self, pod: Object, container: str, attempt: int, memory: PodMemory, image: Image) -> None:
        self._found[meta.uid(pod), container] = image
        memory.images[container] = ImageState(attempt, "ready")

    def _refuse_name(
        self, pod: Object, container: str, attempt: int, memory: PodMemory, text: str, problem: Problem
    ) -> None:
        if problem.reason != "InvalidImageName":
            self._fail(pod, container, attempt, memory, "ImageInspectError", str(problem), 0)
            return
        said = f'Failed to apply default image tag "{text}": {problem.why}'
        self._notices.warn(pod, "InspectFailed", said)
        self._fail(pod, container, attempt, memory, "InvalidImageName", said, 5)

    async def _pull(
        self, pod: Object, container: str, attempt: int, memory: PodMemory, local: Image | None, failures: int
    ) -> None:
        text = str(find_container(pod, container).get("image", ""))
        asked = self._clock.now()
        self._notices.normal(pod, "Pulling", f'Pulling image "{text}"')
        try:
            async with self._locks.setdefault(text, asyncio.Lock()):
                begun = self._clock.now()
                image = await self._podman.pull(text, self._auth(pod, text))
        except Problem as problem:
            if local is not None and _UNREACHABLE.search(problem.why):
                self._tell_local(pod, text, f"its registry does not answer ({problem.why})")
                self._have(pod, container, attempt, memory, local, text)
            else:
                self._notices.warn(pod, "Failed", f'Failed to pull image "{text}": {problem.why}')
                self._fail(pod, container, attempt, memory, "ErrImagePull", problem.why, failures)
        else:
            took, waited = self._seconds(begun), self._seconds(asked)
            said = f'Successfully pulled image "{text}" in {took} ({waited} including waiting).'
            self._notices.normal(pod, "Pulled", f"{said} Image size: {image.size_bytes} bytes.")
            self._ready(pod, container, attempt, memory, image)
        self._finished(pod)

    def _seconds(self, since: datetime) -> str:
        seconds = (self._clock.now() - since).total_seconds()
        return f"{seconds:.3g}s" if seconds >= 1 else f"{int(seconds * 1000)}ms"

    def _tell_local(self, pod: Object, text: str, why: str) -> None:
        said = f'Image "{text}" has the pull policy Always, but {why}: the local image is used'
        self._notices.warn(pod, "LocalImageUsed", said)

    def _fail(
        self, pod: Object, container: str, attempt: int, memory: PodMemory, reason: str, message: str, failures: int
    ) -> None:
        now = self._clock.now()
        pause = timedelta(seconds=min(LONGEST_S, FIRST_S * 2**failures))
        if reason == "ErrImageNeverPull":
            self._notices.warn(pod, reason, message)
        self._notices.warn(pod, "Failed", f"Error: {reason}")
        memory.images[container] = ImageState(
            attempt, "failed", reason, message, failures + 1, failed_at=now, retry_at=now + pause
        )

    def _auth(self, pod: Object, text: str) -> Auth | None:
        """Credentials for the image's registry out of the pod's, then its service account's, imagePullSecrets."""
        spec = meta.get(pod, "spec", default={})
        account = self._cache.get(
            SERVICEACCOUNT, meta.namespace(pod), str(spec.get("serviceAccountName") or "default")
        )
        wanted = [*(spec.get("imagePullSecrets") or ()), *((account or {}).get("imagePullSecrets") or ())]
        registry = names.parse(text).domain or "docker.io"
        for entry in wanted:
            secret = self._cache.get(SECRET, meta.namespace(pod), str(entry.get("name", "")))
            found = credentials(secret, registry) if secret else None
            if found is not None:
                return found
        return None


def credentials(secret: Object, registry: str) -> Auth | None:
    """User and password for a registry in a kubernetes.io/dockerconfigjson (or dockercfg) Secret."""
    data = secret.get("data") or {}
    for key in (".dockerconfigjson", ".dockercfg"):
        if key not in data:
            continue
        try:
            content = orjson.loads(base64.b64decode(data[key]))
            entries = content.get("auths", {}) if key == ".dockerconfigjson" else content
            for server, entry in entries.items():
                if _host(server) in (registry, {"docker.io": "index.docker.io"}.get(registry)):
                    return _auth(entry)
        except (ValueError, binascii.Error, AttributeError):
            continue
    return None


def _host(server: str) -> str:
    return server.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _auth(entry: Object) -> Auth | None:
    if entry.get("auth"):
        name, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        return Auth(name, password)
    return Auth(str(entry["username"]), str(entry.get("password", ""))) if entry.get("username") else None
