"""A registry for tests, with an authority of its own and a password; and images for several architectures."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vmpod.drivers.images import write
from vmpod.testing import certificates

USER, PASSWORD = "bob", "pw"
_HTPASSWD = "bob:$2b$05$abcdefghijklmnopqrstuuHIrMEWpUCQe2YqFR3sXwQ75u4od..9q\n"
_INDEX = "application/vnd.oci.image.index.v1+json"
_START_S = 60.0


@contextmanager
def registry(folder: Path) -> Iterator[tuple[str, str]]:
    """Its address and its authority in PEM; what is pushed lies in `folder`."""
    made = certificates.make()
    for name, text in (("server.pem", made.server), ("key.pem", made.server_key), ("htpasswd", _HTPASSWD.encode())):
        (folder / name).write_bytes(text)
    process, address = _started(folder, made.ca.decode())
    try:
        yield address, made.ca.decode()
    finally:
        process.terminate()
        process.wait()


def _started(folder: Path, authority: str) -> tuple[subprocess.Popen[bytes], str]:
    """The running registry and its address. Another may take the port that was free: then once more."""
    while True:
        address = f"127.0.0.1:{_free_port()}"
        (folder / "config.yml").write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
            f"http: {{addr: {address}, tls: {{certificate: {folder}/server.pem, key: {folder}/key.pem}}}}\n"
            f"auth: {{htpasswd: {{realm: r, path: {folder}/htpasswd}}}}\n"
        )
        log = folder / "log"
        with log.open("wb") as out:
            argv = ["docker-registry", "serve", str(folder / "config.yml")]
            process = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT)
        if _is_up(process, address, authority):
            return process, address
        assert "address already in use" in log.read_text(), log.read_text()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _is_up(process: subprocess.Popen[bytes], address: str, authority: str) -> bool:
    """Wait until it answers; False when it has ended instead."""
    host, _, port = address.partition(":")
    deadline, context = time.monotonic() + _START_S, ssl.create_default_context(cadata=authority)
    while process.poll() is None:
        try:
            with socket.create_connection((host, int(port))) as plain, context.wrap_socket(plain, server_hostname=host):
                return True
        except OSError:
            assert time.monotonic() < deadline, f"the registry at {address} does not answer"
            time.sleep(0.05)
    return False


def write_index(disks: Mapping[str, Path], layout: Path) -> None:
    """An OCI layout of one image for several architectures, each with another disk in /disk."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    entries = []
    for architecture, disk in disks.items():
        one = layout / architecture
        write.write(disk, disk.name, one, architecture=architecture)
        entry = json.loads((one / "index.json").read_text())["manifests"][0]
        entries.append(entry | {"annotations": {}, "platform": {"os": "linux", "architecture": architecture}})
        for blob in (one / "blobs" / "sha256").iterdir():
            blob.replace(blobs / blob.name)
        shutil.rmtree(one)
    index = write._blob(blobs, {"schemaVersion": 2, "mediaType": _INDEX, "manifests": entries}, _INDEX)
    named = index | {"annotations": {"org.opencontainers.image.ref.name": "latest"}}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    (layout / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))


def push(layout: Path, name: str) -> None:
    """Send an image with all its architectures to a registry, or into an archive (`oci-archive:PATH`)."""
    target = name if ":/" in name else f"docker://{name}"
    argv = ["skopeo", "--insecure-policy", "copy", "--quiet", "--all", "--dest-tls-verify=false"]
    creds = [] if target == name else [f"--dest-creds={USER}:{PASSWORD}"]
    subprocess.run([*argv, *creds, f"oci:{layout}:latest", target], check=True, capture_output=True, timeout=120)
