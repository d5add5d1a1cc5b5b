"""Image names: what a name as people write it means, locally and at a registry."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vmpod.base.errors import Problem

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(
    rf"(?:(?P<domain>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?|\[[0-9a-fA-F:]+\](?::[0-9]+)?)/)?"
    rf"(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
)
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-fA-F]{32,}")
_LOOPBACK = ("localhost", "[::1]")


@dataclass(frozen=True)
class ImageName:
    """A name in its parts; `domain` is empty for a short one, `tag` is "latest" when none was written."""

    domain: str
    path: str
    tag: str
    digest: str

    @property
    def _suffix(self) -> str:
        return f"@{self.digest}" if self.digest else f":{self.tag}"

    @property
    def remote(self) -> str:
        """The reference at a registry; short names are Docker Hub's, as in Kubernetes."""
        domain, path = self.domain or "docker.io", self.path
        if domain == "docker.io" and "/" not in path:
            path = f"library/{path}"
        return f"{domain}/{path}{self._suffix}"

    @property
    def local(self) -> tuple[str, ...]:
        """What the image may be called in the local store: the exact name first, then localhost/NAME."""
        if self.domain:
            return (f"{self.domain}/{self.path}{self._suffix}",)
        names = (f"{self.path}{self._suffix}", f"localhost/{self.path}{self._suffix}", self.remote)
        return tuple(dict.fromkeys(names))

    @property
    def is_loopback(self) -> bool:
        """Whether its registry is on this machine, where TLS is not asked for."""
        host = self.domain.rsplit(":", 1)[0] if not self.domain.endswith("]") else self.domain
        return host in _LOOPBACK or host.startswith("127.")


def parse(text: str) -> ImageName:
    """The parts of an image name (distribution's grammar). Raises Problem, reason InvalidImageName."""
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _invalid(text, "invalid reference format")
    head, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        head, tag = rest, ""
    domain, path = _split(head)
    whole = f"{domain}/{path}" if domain else path
    if not _NAME.fullmatch(whole):
        lower = _NAME.fullmatch(whole.lower()) is not None
        shown = path if "/" in path or domain else f"library/{path}"
        why = f"repository name ({shown}) must be lowercase" if lower else ""
        raise _invalid(text, "invalid reference format" + (f": {why}" if why else ""))
    if (tag and not _TAG.fullmatch(tag)) or (colon and not tag and head != rest):
        raise _invalid(text, "invalid reference format")
    return ImageName(domain, path, tag or "latest", digest)


def _split(head: str) -> tuple[str, str]:
    first, slash, rest = head.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        return first, rest
    return "", head


def _invalid(text: str, why: str) -> Problem:
    said = f'couldn\'t parse image name "{text}": {why}'
    return Problem(f"use the image {text}", said, reason="InvalidImageName")
