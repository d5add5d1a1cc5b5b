"""`vmpod image`: container disks, images whose only content is the disk of a machine."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import tempfile
from pathlib import Path

import click

from vmpod.base import proc
from vmpod.base.errors import Problem

_PLAIN = ("qcow2", "raw")  # what KubeVirt takes in a container disk
_LONG_S = 4 * 3600.0
_REMOTE = "docker://"
_FIXES = (  # what podman says, and what mends it
    ("unauthorized", "podman login REGISTRY, or --creds USER:PASSWORD"),
    ("authentication required", "podman login REGISTRY, or --creds USER:PASSWORD"),
    ("denied", "podman login REGISTRY as somebody who may do this, or --creds USER:PASSWORD"),
    ("unknown authority", "put its certificate into /etc/containers/certs.d/REGISTRY:PORT/ca.crt"),
    ("HTTP response to HTTPS", "vmpod image push or pull with --plain-http"),
    ("connection refused", "is the registry up? curl -I https://REGISTRY/v2/"),
    ("no such host", "is the registry's name right?"),
)


@click.group("image", short_help="make, fetch and send container disks")
def command() -> None:
    """Container disks: images for registries whose only content is the disk of a machine."""


@command.command("build-containerdisk")
@click.argument("disk", type=click.Path(path_type=Path))
@click.argument("name")
@click.option("--compress", is_flag=True, help="Pack the disk's clusters: smaller to send, slower to read.")
@click.option("--layout", type=click.Path(path_type=Path), default=None,
              help="Write an OCI layout into this new folder, and leave podman's store alone.")  # fmt: skip
def build(disk: Path, name: str, compress: bool, layout: Path | None) -> None:
    """Make the image NAME of a disk file (qcow2, raw, ISO as they are; others become qcow2) and print its digest."""
    with tempfile.TemporaryDirectory(prefix="vmpod-image-") as folder:
        file = asyncio.run(_prepared(disk.expanduser(), Path(folder), compress=compress))
        click.echo(asyncio.run(_built(file, disk, name, layout or Path(folder, "layout"), keep=layout is not None)))


async def _prepared(disk: Path, folder: Path, *, compress: bool) -> Path:
    """The disk in a format that KubeVirt takes. Raises Problem when it is damaged or names other files."""
    from vmpod.drivers.disks import fetch, inspect

    try:
        path = await asyncio.to_thread(fetch.unpack, disk, folder)
        info = await inspect.inspect(path)
        await inspect.check(path, info.format)
        if info.format in _PLAIN and not compress:
            return path
        fetch.check_room(f"build an image of {disk}", folder, info.actual_bytes)
    except OSError as error:
        raise Problem(f"build an image of {disk}", error.strerror or str(error), f"ls -l {disk}", "Missing") from None
    made = folder / "disk.qcow2"
    packed = ["-c"] if compress else []
    argv = ["qemu-img", "convert", *packed, "-f", info.format, "-O", "qcow2", str(path), str(made)]
    await proc.run(argv, what=f"convert {disk}", timeout_s=_LONG_S)
    return made


async def _built(file: Path, disk: Path, name: str, layout: Path, *, keep: bool) -> str:
    from vmpod.drivers.disks import formats
    from vmpod.drivers.images import write

    if layout.exists():
        raise Problem(f"write {layout}", "it exists", f"rm -r {layout}   (or another --layout)", "Exists")
    ending = "qcow2" if formats.detect(file) == "qcow2" else "img"
    digest = await asyncio.to_thread(write.write, file, f"{_stem(disk)}.{ending}", layout)
    if not keep:
        what = f"make the image {name}"
        image = (await _podman("pull", "--quiet", f"oci:{layout}:latest", what=what)).text.split()[-1]
        await _podman("tag", image, name, what=what)
        await _podman("untag", image, f"localhost{layout}:latest", what=what)  # what podman calls it by itself
    return digest


def _stem(disk: Path) -> str:
    return disk.name.partition(".")[0] or "disk"


@command.command("push")
@click.argument("name")
@click.argument("destination", required=False)
@click.option("--plain-http", is_flag=True, help="The registry has no certificate.")
@click.option("--creds", default="", envvar="VMPOD_REGISTRY_CREDS", help="USER:PASSWORD, else those of podman login.")
def push(name: str, destination: str | None, plain_http: bool, creds: str) -> None:
    """Send the image NAME of podman's store to a registry (default: the one in its name) and print its digest.
    DESTINATION may also be oci:FOLDER."""
    with tempfile.TemporaryDirectory(prefix="vmpod-image-") as folder:
        told = Path(folder, "digest")
        access = _access(Path(folder), destination or name, plain_http, creds)
        argv = ["push", "--quiet", f"--digestfile={told}", *access, name, *([destination] if destination else [])]
        asyncio.run(_podman(*argv, what=f"push {name}"))
        click.echo(told.read_text().strip())


@command.command("pull")
@click.argument("reference")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--path", "inner", default="", help="The disk's path in the image, when there are several.")
@click.option("--plain-http", is_flag=True, help="The registry has no certificate.")
@click.option("--creds", default="", envvar="VMPOD_REGISTRY_CREDS", help="USER:PASSWORD, else those of podman login.")
def pull(reference: str, file: Path, inner: str, plain_http: bool, creds: str) -> None:
    """Write the disk of a container disk to FILE, and print the image's digest. REFERENCE is an image of podman's store
    or of a registry, or oci:FOLDER."""
    from vmpod.drivers.images import layout

    if file.exists():
        raise Problem(f"write {file}", "the file exists", f"rm {file}", "Exists")
    with tempfile.TemporaryDirectory(prefix="vmpod-image-", dir=file.resolve().parent) as folder:
        access = _access(Path(folder), reference, plain_http, creds)
        found, digest = asyncio.run(_laid_out(reference, Path(folder), access))
        layout.copy_disk(found, Path(folder, "disk"), path=inner, image=reference)
        Path(folder, "disk").replace(file)
    click.echo(f"{file} written", err=True)
    click.echo(digest)


async def _laid_out(reference: str, folder: Path, access: list[str]) -> tuple[Path, str]:
    """The OCI layout of an image, and the digest by which it is known where it was. Raises Problem."""
    if reference.startswith("oci:"):
        path = Path(reference.removeprefix("oci:"))
        if not (path / "index.json").is_file():
            raise Problem(f"pull {reference}", "it is no OCI layout (no index.json)", f"ls {path}", "Missing")
        return path, _digest_of(path)
    name = reference.removeprefix(_REMOTE)
    known = await _podman("image", "exists", name, what=f"look for {name}", check=False)
    if known.code != 0 or reference.startswith(_REMOTE):
        await _podman("pull", "--quiet", *access, name, what=f"pull {name}")
    target = folder / "layout"
    what = f"read {name}"
    await _podman("save", "--quiet", "--format", "oci-dir", "--output", str(target), name, what=what)
    known = await _podman("image", "inspect", "--format", "{{.Digest}} {{join .RepoDigests \" \"}}", name, what=what)
    return target, digest_at(name, known.text) or _digest_of(target)


def digest_at(name: str, said: str) -> str:
    """The digest by which a registry knows an image, of all that podman lists: the first is the local copy's."""
    words = said.split()
    repository = re.sub(r"(:[^:/]+)?(@.*)?$", "", name)
    there = [word.rpartition("@")[2] for word in words[1:] if word.startswith(f"{repository}@")]
    return next((digest for digest in there if digest != words[0]), words[0] if words else "")


def _digest_of(layout: Path) -> str:
    """The digest of the first manifest of an OCI layout; empty when it lists none."""
    try:
        return str(json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])
    except (ValueError, LookupError, TypeError, OSError):
        return ""


def _access(folder: Path, reference: str, plain_http: bool, creds: str) -> list[str]:
    """Options for podman. A password goes into a file of our own: arguments can be read by everybody."""
    found = ["--tls-verify=false"] if plain_http else []
    if not creds:
        return found
    server = reference.removeprefix(_REMOTE).partition("/")[0]
    auths = {"auths": {server: {"auth": base64.b64encode(creds.encode()).decode()}}}
    file = folder / "auth.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(auths))
    return [*found, f"--authfile={file}"]


async def _podman(*argv: str, what: str, check: bool = True) -> proc.Completed:
    done = await proc.run(["podman", *argv], what=what, check=False, timeout_s=_LONG_S)
    if check and done.code != 0:
        said = done.err.decode(errors="replace").strip().splitlines() or [f"podman ended with {done.code}"]
        why = said[-1].removeprefix("Error: ")
        raise Problem(what, why, next((fix for word, fix in _FIXES if word in why), "podman images"), "Failed")
    return done
