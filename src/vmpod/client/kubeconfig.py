"""Kubeconfig files: read as kubectl does (KUBECONFIG, first one wins), written for their owner only.

Source: Kubernetes "Organizing Cluster Access Using kubeconfig Files" and the v1 Config type.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vmpod.base.errors import Problem

Config = dict[str, Any]
_LISTS = ("clusters", "users", "contexts")


class Context(NamedTuple):
    """All that is needed to reach one cluster. Certificates and keys are PEM; empty means not given."""

    name: str
    server: str
    namespace: str = "default"
    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = b""
    token: str = ""
    insecure: bool = False
    server_name: str = ""


def load(path: Path | str | None = None, context: str = "", env: Mapping[str, str] | None = None) -> Context:
    """The named context, or the current one, of a file, or of the files that KUBECONFIG names.

    Raises Problem when a file cannot be read or lacks what is named.
    """
    config = read(Path(path)) if path is not None else merged(env)
    name = context or str(config.get("current-context") or "")
    if not name:
        raise Problem("choose a cluster", "no current context is set", "kubectl config use-context NAME")
    entry = _entry(config, "contexts", name)
    cluster = _entry(config, "clusters", str(entry.get("cluster") or ""))
    user = _entry(config, "users", str(entry.get("user") or "")) if entry.get("user") else {}
    if user.get("exec") or user.get("auth-provider"):
        raise Problem(f"use context {name}", "it logs in by another program", "vmpod deploy --context " + name)
    return Context(
        name=name,
        server=str(cluster.get("server") or "").rstrip("/"),
        namespace=str(entry.get("namespace") or "default"),
        ca=_data(cluster, "certificate-authority"),
        certificate=_data(user, "client-certificate"),
        key=_data(user, "client-key"),
        token=_token(user),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        server_name=str(cluster.get("tls-server-name") or ""),
    )


def read(path: Path) -> Config:
    """One file; file names in it become absolute. Raises Problem."""
    try:
        text = path.read_text()
    except OSError as error:
        raise Problem(f"read the kubeconfig {path}", error.strerror or str(error)) from None
    config = _parse(text, path)
    for kind, keys in (
        ("clusters", ("certificate-authority",)),
        ("users", ("client-certificate", "client-key", "tokenFile")),
    ):
        for item in config.get(kind) or ():
            body = item.get(kind[:-1]) or {}
            for key in keys:
                if body.get(key):
                    body[key] = str(path.parent.joinpath(body[key]))
    return config


def _parse(text: str, path: Path) -> Config:
    if text.lstrip().startswith("{"):  # our own files: spares the import of a YAML parser
        try:
            config = json.loads(text)
        except ValueError as error:
            raise Problem(f"read the kubeconfig {path}", str(error)) from None
    else:
        config = _parse_yaml(text, path)
    if not isinstance(config, dict):
        raise Problem(f"read the kubeconfig {path}", "it is not a mapping")
    return config


def _parse_yaml(text: str, path: Path) -> Any:
    import yaml

    try:
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    except yaml.YAMLError as error:
        raise Problem(f"read the kubeconfig {path}", " ".join(str(error).split())) from None


def files(env: Mapping[str, str] | None = None) -> list[Path]:
    """The files that kubectl would read; those that do not exist are left out."""
    env = os.environ if env is None else env
    named = [Path(part) for part in env.get("KUBECONFIG", "").split(os.pathsep) if part]
    return [path for path in named or [default_file(env)] if path.exists()]


def default_file(env: Mapping[str, str]) -> Path:
    return Path(env.get("HOME") or Path.home()) / ".kube" / "config"


def merged(env: Mapping[str, str] | None = None) -> Config:
    """All files as one: of entries with the same name, and of the current context, the first file's counts."""
    whole: Config = {"current-context": "", **{kind: [] for kind in _LISTS}}
    for path in files(env):
        config = read(path)
        whole["current-context"] = whole["current-context"] or config.get("current-context") or ""
        for kind in _LISTS:
            known = {item.get("name") for item in whole[kind]}
            whole[kind] += [item for item in config.get(kind) or () if item.get("name") not in known]
    return whole


def _entry(config: Config, kind: str, name: str) -> Config:
    for item in config.get(kind) or ():
        if item.get("name") == name:
            return item.get(kind[:-1]) or {}
    raise Problem(f"use the kubeconfig's {kind[:-1]} {name!r}", "it has none of that name", "kubectl config view")


def _data(body: Config, key: str) -> bytes:
    """The PEM text that is inline as base64, or in a file."""
    if body.get(key + "-data"):
        return base64.b64decode(body[key + "-data"])
    return _content(str(body[key])) if body.get(key) else b""


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Problem(f"read {path}", error.strerror or str(error)) from None


def _token(user: Config) -> str:
    if user.get("token"):
        return str(user["token"])
    return _content(str(user["tokenFile"])).decode().strip() if user.get("tokenFile") else ""


def document(server: str, ca: bytes, certificate: bytes, key: bytes, *, name: str = "vmpod") -> Config:
    """A kubeconfig with one cluster, user and context, all called `name`; certificates are PEM."""
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(ca).decode()}
    user = {
        "client-certificate-data": base64.b64encode(certificate).decode(),
        "client-key-data": base64.b64encode(key).decode(),
    }
    return {
        "apiVersion": "v1", "kind": "Config", "preferences": {},
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }  # fmt: skip


def write(path: Path, config: Config) -> None:
    """Write as JSON (which is YAML, and quick to read), mode 0600, in one step."""
    _replace(path, json.dumps(config, indent=2) + "\n")


def write_yaml(path: Path, config: Config) -> None:
    """Write as YAML, mode 0600, in one step."""
    _replace(path, render(config))


def render(config: Config) -> str:
    """The YAML text."""
    import yaml

    return yaml.safe_dump(config, sort_keys=False, default_flow_style=False)


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = path.resolve()  # a link stays a link
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with open(fresh, "w", opener=lambda name, flags: os.open(name, flags | os.O_EXCL, 0o600)) as out:
            out.write(text)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def merge_into(path: Path, addition: Config, *, make_current: bool = True) -> None:
    """Put the entries of `addition` into a file, in the place of those with their names; the rest stays."""
    config = _existing(path)
    for kind in _LISTS:
        added = {item["name"]: item for item in addition.get(kind) or ()}
        kept = [item for item in config.get(kind) or () if item.get("name") not in added]
        config[kind] = kept + list(added.values())
    if make_current or not config.get("current-context"):
        config["current-context"] = addition["current-context"]
    write_yaml(path, config)


def remove_from(path: Path, context: str) -> bool:
    """Take a context out of a file, with its cluster and user when no other uses them; False if not there."""
    config = _existing(path)
    contexts = config.get("contexts") or []
    found = next((item for item in contexts if item.get("name") == context), None)
    if found is None:
        return False
    config["contexts"] = [item for item in contexts if item is not found]
    for kind, word in (("clusters", "cluster"), ("users", "user")):
        used = {(item.get("context") or {}).get(word) for item in config["contexts"]}
        name = (found.get("context") or {}).get(word)
        config[kind] = [
            item for item in config.get(kind) or () if item.get("name") != name or name in used
        ]
    if config.get("current-context") == context:
        config["current-context"] = ""
    write_yaml(path, config)
    return True


def _existing(path: Path) -> Config:
    """The file as it stands: relative file names in it stay relative, for they are relative to it."""
    if not path.exists():
        return {"apiVersion": "v1", "kind": "Config", "preferences": {}}
    return _parse(path.read_text(), path)
