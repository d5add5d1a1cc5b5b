"""The manifest of a new virtual machine out of the few things that a person has to say, as `virtctl create vm` does."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmpod.base.errors import Problem

if TYPE_CHECKING:
    from vmpod.model.meta import Object

_IMPORTS = {"http": "url", "registry": "url", "blank": "", "pvc": "src", "snapshot": "src", "upload": ""}


@dataclass(frozen=True)
class Wanted:
    """What was said. Sources are texts of the form `key:value,key:value`."""

    name: str
    run_strategy: str = "Always"
    memory: str = ""
    instancetype: str = ""
    preference: str = ""
    grace_s: int = 180
    container_disks: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    sysprep: str = ""
    cloud_init: str = "noCloud"
    user: str = ""
    password: str = ""
    ssh_keys: tuple[str, ...] = ()
    user_data: str = ""
    network_data: str = ""


def read_source(option: str, text: str) -> dict[str, str]:
    """`src:image,bootorder:1` as a mapping; a value may hold colons. Raises Problem."""
    found: dict[str, str] = {}
    for part in text.split(","):
        key, colon, value = part.partition(":")
        if not colon or not key or not value:
            why = f"{part!r} is no KEY:VALUE"
            raise Problem(f"read --{option} {text}", why, f"vmpod create vm --{option} src:…,bootorder:1", "Usage")
        found[key.lower()] = value
    return found


def manifest(wanted: Wanted) -> Object:
    """The VirtualMachine. Raises Problem for sources that are none."""
    volumes, templates, orders = _volumes(wanted)
    seed = _seed(wanted)
    domain: Object = {"devices": {"disks": _disks(orders), "interfaces": [{"name": "default", "masquerade": {}}]}}
    if not wanted.instancetype:
        domain["memory"] = {"guest": wanted.memory or "512Mi"}
    inside: Object = {"domain": domain, "networks": [{"name": "default", "pod": {}}],
                      "terminationGracePeriodSeconds": wanted.grace_s, "volumes": [*volumes, *seed]}
    spec: Object = {"runStrategy": wanted.run_strategy, "template": {"metadata": {}, "spec": inside}}
    spec |= {"dataVolumeTemplates": templates} if templates else {}
    for key in ("instancetype", "preference"):
        spec |= {key: _matcher(key, getattr(wanted, key))} if getattr(wanted, key) else {}
    return {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": wanted.name}, "spec": spec}


def _matcher(key: str, text: str) -> Object:
    """`NAME`, or `KIND/NAME` with the kind spelled in any case."""
    kind, slash, called = text.rpartition("/")
    kinds = {f"virtualmachine{key}": f"VirtualMachine{key.capitalize()}"}
    return {"name": called} | ({"kind": kinds.get(kind.lower(), kind)} if slash else {})


def _volumes(wanted: Wanted) -> tuple[list[Object], list[Object], dict[str, int]]:
    """Volumes, templates of the data volumes among them, and what each says about its boot order."""
    volumes: list[Object] = []
    templates: list[Object] = []
    orders: dict[str, int] = {}
    given = (("containerdisk", wanted.container_disks), ("pvc", wanted.claims), ("import", wanted.imports))
    for option, texts in given:
        for number, text in enumerate(texts):
            said = read_source(f"volume-{option}", text)
            name = said.get("name") or f"{wanted.name}-{option}-{number}"
            orders[name] = _order(text, said)
            volumes.append(_volume(option, name, said, templates))
    if wanted.sysprep:
        said = read_source("volume-sysprep", wanted.sysprep)
        kind = said.get("type", "configMap")
        volumes.append({"name": "sysprepdisk", "sysprep": {kind: {"name": said.get("src", "")}}})
    return volumes, templates, orders


def _order(text: str, said: dict[str, str]) -> int:
    value = said.get("bootorder", "0")
    if not value.isdecimal():
        raise Problem(f"read {text}", f"bootorder {value!r} is no number", "vmpod create vm --help", "Usage")
    return int(value)


def _volume(option: str, name: str, said: dict[str, str], templates: list[Object]) -> Object:
    if option == "containerdisk":
        return {"name": name, "containerDisk": {"image": _needed(option, said, "src")}}
    if option == "pvc":
        return {"name": name, "persistentVolumeClaim": {"claimName": _needed(option, said, "src")}}
    templates.append(_template(name, said))
    return {"name": name, "dataVolume": {"name": name}}


def _template(name: str, said: dict[str, str]) -> Object:
    kind = _needed("import", said, "type")
    if kind not in _IMPORTS:
        why = f"the type {kind!r} is not one of {', '.join(_IMPORTS)}"
        raise Problem("read --volume-import", why, "vmpod create vm --volume-import type:http,url:…,size:10Gi", "Usage")
    key = _IMPORTS[kind]
    inner: Object = {key: _needed("import", said, key)} if key == "url" else {}
    if key == "src":
        space, _, called = _needed("import", said, "src").rpartition("/")
        inner = {"name": called} | ({"namespace": space} if space else {})
    storage = {"storage": {"resources": {"requests": {"storage": said["size"]}}}} if "size" in said else {"storage": {}}
    return {"metadata": {"name": name}, "spec": {"source": {kind: inner}, **storage}}


def _needed(option: str, said: dict[str, str], key: str) -> str:
    if key not in said:
        fix = f"vmpod create vm --volume-{option} {key}:…"
        raise Problem(f"read --volume-{option}", f"{key} is missing", fix, "Usage")
    return said[key]


def _disks(orders: dict[str, int]) -> list[Object]:
    """Disks that say nothing about their boot order have no entry, as virtctl leaves them."""
    return [{"name": name, "disk": {}, "bootOrder": order} for name, order in orders.items() if order]


def _seed(wanted: Wanted) -> list[Object]:
    """The cloud-init volume, if there is anything for it to say."""
    data = base64.b64encode(wanted.user_data.encode()).decode() if wanted.user_data else ""
    inner: dict[str, Any] = {"userDataBase64": data} if data else {}
    if not data and (wanted.user or wanted.password or wanted.ssh_keys):
        inner["userData"] = _cloud_config(wanted)
    if wanted.network_data:
        inner["networkDataBase64"] = base64.b64encode(wanted.network_data.encode()).decode()
    key = {"nocloud": "cloudInitNoCloud", "configdrive": "cloudInitConfigDrive"}.get(wanted.cloud_init.lower())
    return [{"name": "cloudinitdisk", key: inner}] if inner and key else []


def _cloud_config(wanted: Wanted) -> str:
    from vmpod.model import yaml

    said: Object = {"user": wanted.user} if wanted.user else {}
    if wanted.password:
        said |= {"password": wanted.password, "chpasswd": {"expire": False}}
    if wanted.ssh_keys:
        said["ssh_authorized_keys"] = list(wanted.ssh_keys)
    return f"#cloud-config\n{yaml.dump(said)}"
