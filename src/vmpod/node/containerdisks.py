"""Container disks: the disk inside an OCI image, extracted once per image and shared by all that boot it.

Kernels to boot are taken out of images in the same way.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.client.cache import Cache
from vmpod.drivers.images import remote
from vmpod.drivers.images.remote import Remote
from vmpod.drivers.podman import names
from vmpod.drivers.podman.client import Podman
from vmpod.drivers.podman.images import Auth, Image
from vmpod.kinds import CONFIGMAP, SECRET
from vmpod.model.meta import Object
from vmpod.node import bases, imports
from vmpod.node.bases import Bases
from vmpod.node.cdiconfig import is_insecure

_LATEST = "latest"


class ContainerDisks:
    """Base images out of container images. `base` may be asked for the same image by many at once."""

    def __init__(self, paths: Paths, podman: Podman, cache: Cache) -> None:
        self.bases = Bases(paths)
        self._paths = paths
        self._podman = podman
        self._cache = cache
        self._locks: dict[str, asyncio.Lock] = {}

    async def forget_gone(self) -> None:
        """Drop what was taken out of images that the store no longer has under any name, unless a disk lies on it."""
        await self.bases.forget_images(self._has_name)
        await self.bases.sweep()

    async def _has_name(self, image_id: str) -> bool:
        found = await self._podman.image(image_id) if image_id else None
        return found is not None and bool(found.tags or found.digests)

    async def base(self, image: str, *, policy: str = "", path: str = "", namespace: str = "",
                   secrets: Iterable[str] = ()) -> tuple[Path, str]:  # fmt: skip
        """The base image inside `image`, and a warning (empty: none) about where it came from. Raises Problem."""
        found, warning = await self.obtain(image, policy=policy, namespace=namespace, secrets=secrets)
        key = hashlib.sha256(f"{found.id} {path}".encode()).hexdigest()
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self._known(key, imports.base_path)
            return known or imports.base_path(self._paths, await self._extract(found, image, path, key)), warning

    async def member(self, image: str, path: str, *, policy: str = "", namespace: str = "",
                     secrets: Iterable[str] = ()) -> tuple[Path, str]:  # fmt: skip
        """A file inside `image` as it is, and a warning about where the image came from. Raises Problem."""
        found, warning = await self.obtain(image, policy=policy, namespace=namespace, secrets=secrets)
        key = hashlib.sha256(f"{found.id} member {path}".encode()).hexdigest()
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self._known(key, imports.member_path)
            made = known or imports.member_path(self._paths, await self._extract(found, image, path, key, "member"))
            return made, warning

    async def obtain(self, image: str, *, policy: str = "", namespace: str = "",
                     secrets: Iterable[str] = ()) -> tuple[Image, str]:  # fmt: skip
        """The image in the local store, pulled where the pull policy asks for it. Raises Problem."""
        there = await self._podman.image(image)
        wanted = policy or default_policy(image)
        if there is not None and wanted != "Always":
            return there, ""
        if wanted == "Never":
            why = "it is not in the local image store and the pull policy is Never"
            raise Problem(f"use the image {image}", why, f"podman pull {image}", "ErrImageNeverPull")
        try:
            insecure = is_insecure(self._cache, image)
            return await self._podman.pull(image, self.auth(image, namespace, secrets), insecure=insecure), ""
        except Problem as problem:
            if there is None:
                raise
            return there, f"{problem}; the local image {there.reference} is used"

    async def is_stored(self, image: str, architecture: str) -> bool:
        """Whether the local store has the image for this architecture."""
        found = await self._podman.image(image)
        return found is not None and found.architecture == architecture

    def remote(self, image: str, registry: Object, namespace: str) -> Remote:
        """How to reach an image past the store, by what a source says of its registry: `secretRef`, `certConfigMap` and
        `platform`. Raises Problem when the ConfigMap that it names is not there.
        """
        secret, named = registry.get("secretRef"), registry.get("certConfigMap")
        bundle = self._cache.get(CONFIGMAP, namespace, named) if named else {}
        if bundle is None:
            why = f'configmap "{named}" not found'
            raise Problem(f"pull the image {image}", why, "kubectl get configmaps", "NotFound")
        auth, name = self.auth(image, namespace, [secret] if secret else []), names.parse(image)
        authorities = "\n".join((bundle.get("data") or {}).values())
        return Remote(f"docker://{name.remote}", str((registry.get("platform") or {}).get("architecture") or ""),
                      auth.username if auth else "", auth.password if auth else "", authorities,
                      (name.is_loopback or is_insecure(self._cache, image)) and not authorities)  # fmt: skip

    async def digest(self, wanted: Remote) -> str:
        """The digest that a registry has for an image now, which is not pulled. Raises Problem."""
        with tempfile.TemporaryDirectory(prefix="digest-", dir=self._paths.staging) as folder:
            return await remote.digest(wanted, Path(folder))

    def auth(self, image: str, namespace: str, secrets: Iterable[str]) -> Auth | None:
        """What the image's registry wants to know of us, as one of these secrets says it."""
        host = names.parse(image).remote.partition("/")[0]
        for secret in secrets:
            found = self._cache.get(SECRET, namespace, secret)
            if found is not None and (auth := _auth_of(found, host)):
                return auth
        return None

    def _record(self, key: str) -> Path:
        return self._paths.bases / f"{key}.image"

    def _known(self, key: str, place: Callable[[Paths, str], Path]) -> Path | None:
        base = place(self._paths, bases.read_image(self._record(key))[0])
        return base if base.exists() else None

    async def _extract(self, image: Image, name: str, path: str, key: str, kind: str = "layout") -> str:
        """The SHA-256 of what was taken out."""
        folder = Path(tempfile.mkdtemp(prefix="image-", dir=self._paths.staging))
        try:
            async with self.bases.kept():
                await self._podman.save_oci(image.id, folder / "layout")
                job = imports.job_for(self._paths, kind, str(folder / "layout"), inner=path, name=name)
                sha256, _ = await imports.run_job(job)
                bases.write_image(self._record(key), sha256, image.id)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, True)
        return sha256


def default_policy(image: str) -> str:
    """Kubernetes' default: Always for the tag latest or none, else IfNotPresent."""
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", _LATEST) else "IfNotPresent"


def _auth_of(secret: Object, host: str) -> Auth | None:
    """The credentials for a registry host in a secret of type kubernetes.io/dockerconfigjson or dockercfg."""
    data = secret.get("data") or {}
    if {"accessKeyId", "secretKey"} <= data.keys():  # CDI's form: for the one registry that the source names
        return Auth(*(base64.b64decode(data[key]).decode() for key in ("accessKeyId", "secretKey")))
    text = data.get(".dockerconfigjson") or data.get(".dockercfg")
    if not text:
        return None
    said = json.loads(base64.b64decode(text))
    entries = said.get("auths", said)
    for server, entry in entries.items():
        if server.removeprefix("https://").removeprefix("http://").partition("/")[0] == host:
            return _credentials(entry)
    return None


def _credentials(entry: Object) -> Auth | None:
    if entry.get("username"):
        return Auth(str(entry["username"]), str(entry.get("password") or ""))
    user, colon, password = base64.b64decode(entry.get("auth") or "").decode(errors="replace").partition(":")
    return Auth(user, password) if colon else None
