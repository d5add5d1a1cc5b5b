"""Images out of registries and archives as OCI layouts, past podman's store, whose images keep their names: by skopeo.

Used for what a pull into the store cannot do: another architecture than the store's image has, authorities of one's
own, an archive.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from vmpod.base import proc
from vmpod.base.errors import Problem
from vmpod.drivers.images import layout

_LONG_S = 4 * 3600.0


@dataclass(frozen=True)
class Remote:
    """An image elsewhere: `docker://NAME` or `oci-archive:PATH`; `architecture` and all below may be left open.

    `authorities` are PEM; `unverified`: its registry may have no certificate, or that of anybody.
    """

    reference: str
    architecture: str = ""
    username: str = ""
    password: str = ""
    authorities: str = ""
    unverified: bool = False


async def fetch(wanted: Remote, folder: Path) -> Path:
    """The OCI layout of an image, in a folder where nobody else writes. Raises Problem."""
    there = folder / "layout"
    access = _access(wanted, folder, "--src-")
    await _skopeo(wanted, folder, "copy", "--quiet", *access, wanted.reference, f"oci:{there}")
    found = layout.architecture(there)
    if wanted.architecture and found != wanted.architecture:
        why = f"it is for {found or 'no architecture that it names'}, not for {wanted.architecture}"
        raise Problem(f"pull the image {wanted.reference}", why, "correct platform.architecture", "Unsupported")
    return there


async def digest(wanted: Remote, folder: Path) -> str:
    """The digest of an image at its registry, of the index where it is for several architectures. Raises Problem."""
    access = _access(wanted, folder, "--")
    done = await _skopeo(wanted, folder, "inspect", "--no-tags", "--format={{.Digest}}", *access, wanted.reference)
    return done.text


async def _skopeo(wanted: Remote, folder: Path, *words: str) -> proc.Completed:
    what = f"pull the image {wanted.reference}"
    argv = ["skopeo", "--insecure-policy", "--tmpdir", str(folder), "--override-os", "linux"]
    argv += ["--override-arch", wanted.architecture] if wanted.architecture else []
    done = await proc.run([*argv, *words], what=what, check=False, timeout_s=_LONG_S)
    if done.code != 0:
        raise Problem(what, _said(done), f"skopeo inspect {wanted.reference}", "ErrImagePull")
    return done


def _access(wanted: Remote, folder: Path, prefix: str) -> list[str]:
    """Options for skopeo. Passwords go into a file of our own: arguments can be read by everybody."""
    found = [f"{prefix}tls-verify=false"] if wanted.unverified else []
    if wanted.authorities:
        (folder / "certs").mkdir()
        (folder / "certs" / "ca.crt").write_text(wanted.authorities)
        found += [f"{prefix}cert-dir", str(folder / "certs")]
    file = folder / "auth.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps({"auths": _auths(wanted)}))
    return [*found, f"{prefix}authfile", str(file)]


def _auths(wanted: Remote) -> dict[str, dict[str, str]]:
    """Nobody's, where nothing is given: the logins of the engine's own user are not lent."""
    if not wanted.username:
        return {}
    server = wanted.reference.removeprefix("docker://").partition("/")[0]
    return {server: {"auth": base64.b64encode(f"{wanted.username}:{wanted.password}".encode()).decode()}}


def _said(done: proc.Completed) -> str:
    """The cause out of skopeo's last words: `time="…" level=fatal msg="…"`."""
    lines = done.err.decode(errors="replace").strip().splitlines() or [f"skopeo ended with {done.code}"]
    return lines[-1].partition(' msg="')[2].removesuffix('"').replace('\\"', '"') or lines[-1]
