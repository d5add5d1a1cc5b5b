"""Images of the user's own store: find, pull, copy out."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vmpod.base import proc
from vmpod.base.errors import Problem
from vmpod.drivers.podman import names
from vmpod.drivers.podman.names import ImageName
from vmpod.drivers.podman.rest import PodmanError, Rest


@dataclass(frozen=True)
class Auth:
    """What a registry wants to know of us."""

    username: str
    password: str


@dataclass(frozen=True)
class Image:
    """An image of the local store. `name` is the one it was found by; from `user` on, its configuration."""

    id: str
    digest: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size_bytes: int
    name: str = ""
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = ""
    stop_signal: str = ""
    architecture: str = ""

    @property
    def reference(self) -> str:
        """What `imageID` of a container status shows: a repository digest where there is one."""
        return self.digests[0] if self.digests else f"sha256:{self.id}"


def parse(seen: Mapping[str, Any]) -> Image:
    """An image from GET /libpod/images/NAME/json."""
    config = seen.get("Config") or {}
    pairs = (entry.partition("=") for entry in config.get("Env") or ())
    return Image(
        id=str(seen["Id"]), digest=str(seen.get("Digest") or ""), tags=tuple(seen.get("RepoTags") or ()),
        digests=tuple(seen.get("RepoDigests") or ()), size_bytes=int(seen.get("Size") or 0),
        user=str(config.get("User") or seen.get("User") or ""),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()), env={key: value for key, _, value in pairs},
        architecture=str(seen.get("Architecture") or ""),
        workdir=str(config.get("WorkingDir") or ""), stop_signal=str(config.get("StopSignal") or ""),
    )


async def find(rest: Rest, text: str) -> Image | None:
    """The local image that a name means: the exact name, then localhost/NAME, else none.

    podman itself would also take any repository that ends so; that is not what a manifest means.
    Raises Problem, reason InvalidImageName, for what is no name.
    """
    if _is_id(text):
        return await _inspect(rest, text.removeprefix("sha256:"))
    name = names.parse(text)
    for candidate in name.local:
        image = await _inspect(rest, candidate)
        if image is not None and _is_called(image, name, candidate):
            return replace(image, name=candidate)
    return None


def _is_id(text: str) -> bool:
    digits = text.removeprefix("sha256:")
    return len(digits) == 64 and all(c in "0123456789abcdef" for c in digits)


def _is_called(image: Image, name: ImageName, candidate: str) -> bool:
    if not name.digest:
        return candidate in image.tags
    repository = candidate.partition("@")[0]
    return any(found.partition("@")[0] == repository for found in image.digests)


async def _inspect(rest: Rest, reference: str) -> Image | None:
    try:
        what = f"look up the image {reference}"
        seen = await rest.ask("GET", f"/images/{quote(reference, safe='')}/json", what=what)
    except PodmanError as refused:
        if refused.code == 404:
            return None
        raise
    return parse(seen)


async def pull(rest: Rest, text: str, auth: Auth | None = None, *, insecure: bool = False) -> Image:
    """Fetch an image from its registry, if `insecure` without TLS, too.

    Raises Problem, reason ErrImagePull, with the registry's words.
    """
    name = names.parse(text)
    what = f"pull the image {text}"
    verify = "false" if insecure or name.is_loopback else "true"
    query = {"reference": name.remote, "policy": "always", "tlsVerify": verify}
    headers = {}
    if auth is not None:
        said = json.dumps({"username": auth.username, "password": auth.password}).encode()
        headers["X-Registry-Auth"] = base64.urlsafe_b64encode(said).decode()
    pulled = ""
    try:
        async for line in rest.lines("POST", "/images/pull", what=what, query=query, headers=headers):
            if line.get("error"):
                raise Problem(what, str(line["error"]), reason="ErrImagePull")
            pulled = str(line.get("id") or pulled)
    except PodmanError as refused:
        raise Problem(what, refused.why, reason="ErrImagePull") from refused
    image = await _inspect(rest, pulled) if pulled else await find(rest, text)
    if image is None:
        raise Problem(what, "podman pulled it but does not know it", reason="ErrImagePull")
    return replace(image, name=name.remote)


async def save_oci(reference: str, folder: Path, env: Mapping[str, str]) -> None:
    """Write a local image as an OCI layout into a new folder, uncompressed, by a process of its own."""
    await proc.run(
        ["podman", "save", "--quiet", "--format", "oci-dir", "--uncompressed", "-o", str(folder), reference],
        what=f"read the image {reference}", env=env, timeout_s=1800,
    )


async def remove(rest: Rest, reference: str) -> None:
    """Untag an image, and delete it with its last name; a missing one is no error."""
    try:
        await rest.ask("DELETE", f"/images/{quote(reference, safe='')}", what=f"remove the image {reference}")
    except PodmanError as refused:
        if refused.code != 404:
            raise
