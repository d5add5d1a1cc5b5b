"""`vmpod export`: a disk as a file of this machine."""

from __future__ import annotations

import base64
import contextlib
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vmpod.base.errors import Problem
from vmpod.cli import machine, making

if TYPE_CHECKING:
    from vmpod.client.simple import SimpleClient
    from vmpod.model.meta import Object

_SOURCES = {"vm": ("kubevirt.io", "VirtualMachine"), "pvc": ("", "PersistentVolumeClaim"),
            "snapshot": ("snapshot.kubevirt.io", "VirtualMachineSnapshot")}  # fmt: skip
_BY_SUFFIX = {".gz": "gzip", ".qcow2": "qcow2"}
_PIECE_BYTES = 1 << 20


@click.command("export", short_help="a disk of a virtual machine as a file")
@click.argument("kind", type=click.Choice(list(_SOURCES)))
@click.argument("name")
@machine.namespace()
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The new file.")
@click.option("--format", "form", type=click.Choice(["raw", "gzip", "qcow2"]),
              help="By default what the file's name says, else raw.")  # fmt: skip
@click.option("--volume", help="Which disk, by its claim, where there are several.")
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds to wait until it can begin.")
def command(kind: str, name: str, space: str, output: Path, form: str | None, volume: str | None,
            timeout: float) -> None:  # fmt: skip
    """Write a disk to a file: of a stopped virtual machine (vm), a claim (pvc) or a snapshot.

    A claim that holds files, not a disk, is written as a tar.gz archive.
    """
    from vmpod.cli import session

    client = session.connect()
    what = f"export {name}"
    with _exported(client, kind, machine.bare(name), space, what, timeout) as export:
        links = export["status"]["links"]["external"]
        urls = _chosen(links, volume, what)
        form = "gzip" if "tar.gz" in urls else form or _BY_SUFFIX.get(output.suffix, "raw")
        asked = _Download(links["cert"], _token(client, export, space), what)
        part = output.with_name(f".{output.name}.part")
        try:
            _write(asked, urls, form, part, output.name)
            part.replace(output)
        finally:
            part.unlink(missing_ok=True)
    click.echo(f"{output}: {output.stat().st_size} bytes")


@contextlib.contextmanager
def _exported(client: SimpleClient, kind: str, name: str, space: str, what: str, timeout_s: float) -> Iterator[Object]:
    """An export that is ready, and gone afterwards. Raises Problem."""
    from vmpod.kinds import VIRTUALMACHINEEXPORT
    from vmpod.model.meta import uid

    group, source = _SOURCES[kind]
    _check_source(client, source, name, space, what)
    called = f"{name[:40]}-{secrets.token_hex(4)}"
    spec = {"source": {"kind": source, "name": name} | ({"apiGroup": group} if group else {})}
    try:
        yield making.make(VIRTUALMACHINEEXPORT, called, space, spec, what, timeout_s)
    finally:
        if (left := client.find(VIRTUALMACHINEEXPORT, space, called)) is not None:
            client.delete(VIRTUALMACHINEEXPORT, space, called, uid=uid(left))


def _check_source(client: SimpleClient, source: str, name: str, space: str, what: str) -> None:
    """Raises Problem for what is not there: an export would wait for it."""
    from vmpod.kinds import KINDS

    kind = next(one for one in KINDS if one.kind == source)
    if client.find(kind, space, name) is None:
        why = f"there is no {source} {name} in the namespace {space}"
        raise Problem(what, why, f"kubectl get {kind.plural} -n {space}", "NotFound")


def _chosen(links: Object, volume: str | None, what: str) -> dict[str, str]:
    """The URL of each format of the disk that is meant. Raises Problem when none or several are."""
    volumes = {one["name"]: {each["format"]: each["url"] for each in one["formats"]} for one in links["volumes"]}
    if volume is None and len(volumes) == 1:
        return dict(next(iter(volumes.values())))
    if volume is None or volume not in volumes:
        why = f"it has no disk {volume}" if volume else "it has several disks"
        raise Problem(what, why, f"name one of them: {' or '.join(f'--volume {one}' for one in volumes)}", "NotFound")
    return dict(volumes[volume])


def _token(client: SimpleClient, export: Object, space: str) -> str:
    from vmpod.kinds import SECRET

    secret = client.get(SECRET, space, export["status"]["tokenSecretRef"])
    return base64.b64decode(secret["data"]["token"]).decode()


def _write(asked: _Download, urls: dict[str, str], form: str, part: Path, title: str) -> None:
    from vmpod.cli.progress import Progress

    packed = urls.get("tar.gz") or urls.get("gzip", "")
    with Progress() as progress:
        def tell(done: int, whole: int) -> None:
            of = f" of {whole >> 20}" if whole else ""
            progress.show({title: f"{done >> 20}{of} MiB" if done != whole else ""})

        if form == "gzip":
            asked.save(packed, part, tell)
        elif form == "raw":
            asked.save(urls["raw"], part, tell)
        else:
            raw = part.with_name(f"{part.name}.raw")
            try:
                asked.save(urls["raw"], raw, tell)
                _convert(raw, part, asked.what)
            finally:
                raw.unlink(missing_ok=True)


def _convert(raw: Path, target: Path, what: str) -> None:
    if shutil.which("qemu-img") is None:
        raise Problem(what, "qemu-img is not installed", "vmpod doctor", "Missing")
    argv = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(target)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Problem(what, done.stderr.strip(), f"df -h {target.parent}", "Failed")


class _Download:
    """Downloads by one token, from a server with a certificate of this authority."""

    def __init__(self, authority: str, token: str, what: str) -> None:
        self._authority = authority
        self._token = token
        self.what = what

    def save(self, url: str, target: Path, tell: Callable[[int, int], None]) -> None:
        """The whole of it; what is zero takes no room. Raises Problem."""
        import http.client

        try:
            with self._open(url) as answer, target.open("wb") as out:
                whole, done = int(answer.headers.get("Content-Length") or 0), 0
                while piece := answer.read(_PIECE_BYTES):
                    if piece.count(0) == len(piece):
                        out.seek(len(piece), 1)
                    else:
                        out.write(piece)
                    done += len(piece)
                    tell(done, whole)
                out.truncate(done)
                tell(done, done)
        except (OSError, http.client.HTTPException) as error:
            why = f"the download was cut off: {error}" if not isinstance(error, OSError) else str(error)
            raise Problem(self.what, why, "is the machine still stopped?  vmpod status", "Failed") from None
        if whole and done != whole:
            raise Problem(self.what, f"it ended after {done} of {whole} bytes", "vmpod status", "Failed")

    def _open(self, url: str) -> Any:
        import ssl
        import urllib.request

        trusted = ssl.create_default_context(cadata=self._authority)
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusted))
        request = urllib.request.Request(url, headers={"x-kubevirt-export-token": self._token})
        return urllib.request.build_opener(*handlers).open(request, timeout=60)
