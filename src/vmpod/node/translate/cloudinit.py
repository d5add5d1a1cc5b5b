"""Seed disks for cloud-init, and other objects as a disk. Pure: objects in, files out.

Names, labels and metadata are those that KubeVirt writes (pkg/cloud-init).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmpod.base.errors import Problem
from vmpod.drivers.qemu.spec import Nic
from vmpod.model.meta import Object, get, name, namespace
from vmpod.node.translate import files
from vmpod.node.translate.machine_nics import guest_hostname
from vmpod.node.translate.tagged import tagged_devices

NO_CLOUD = "cloudInitNoCloud"
CONFIG_DRIVE = "cloudInitConfigDrive"
Lookup = Callable[[str, str], Object | None]
"""(kind, name) → the object of the machine's namespace; kinds are `Secret` and `ConfigMap`."""

_ANSWERS = ("autounattend.xml", "unattend.xml")
_REFUSED = {"downwardMetrics": "no metrics are handed to guests here"}
_INSTANCE_TYPE = "kubevirt.io/cluster-instancetype-name"


@dataclass(frozen=True)
class Seed:
    """A small read-only disk: its volume label and its files by path."""

    label: str
    files: Mapping[str, bytes]


def seed(
    vmi: Object, volume: Mapping[str, Any], lookup: Lookup, pod: Object | None = None, cards: Sequence[Nic] = ()
) -> Seed | None:
    """The seed of a volume that is made of objects; None for other volumes.

    `pod` is the machine's launcher, `cards` are those that the machine will have.

    Raises Problem when an object is missing and for what is refused.
    """
    if NO_CLOUD in volume:
        return _no_cloud(vmi, volume, lookup)
    if CONFIG_DRIVE in volume:
        return _config_drive(vmi, volume, lookup, cards)
    if "configMap" in volume:
        return _object(vmi, volume, "ConfigMap", str(volume["configMap"].get("name")), lookup)
    if "secret" in volume:
        return _object(vmi, volume, "Secret", str(volume["secret"].get("secretName")), lookup)
    if "sysprep" in volume:
        return _sysprep(vmi, volume, lookup)
    if "downwardAPI" in volume:
        return _downward(volume["downwardAPI"], pod or {})
    for kind, why in _REFUSED.items():
        if kind in volume:
            raise _problem(vmi, f"volume {volume['name']!r}: {kind} is not supported, {why}")
    return None


def table(vmi: Object, volume: Mapping[str, Any], key: str, lookup: Lookup) -> bytes:
    """A table of the firmware out of the Secret of a volume. Raises Problem when the Secret or its key is missing."""
    secret = str(get(volume, "secret", "secretName", default=""))
    found = _content(vmi, volume["name"], "Secret", secret, lookup)
    if key not in found:
        raise _problem(vmi, f"volume {volume['name']!r}: the Secret {secret} has no key {key}")
    return found[key]


def instance_id(vmi: Object) -> str:
    """Stays the same as long as the machine's name: cloud-init does its once-per-instance work only once."""
    return f"{name(vmi)}.{namespace(vmi)}"


def _no_cloud(vmi: Object, volume: Mapping[str, Any], lookup: Lookup) -> Seed:
    user, network = _data(vmi, volume["name"], volume[NO_CLOUD], lookup)
    meta: Object = {"instance-id": instance_id(vmi), "local-hostname": guest_hostname(vmi)}
    if kind := get(vmi, "metadata", "annotations", _INSTANCE_TYPE):
        meta = {"instance-type": kind} | meta
    if keys := _public_keys(vmi, "noCloud", lookup):
        meta["public-keys"] = keys
    files = {"meta-data": json.dumps(meta).encode(), "user-data": user}
    return Seed("cidata", files | ({"network-config": network} if network else {}))


def _config_drive(vmi: Object, volume: Mapping[str, Any], lookup: Lookup, cards: Sequence[Nic]) -> Seed:
    user, network = _data(vmi, volume["name"], volume[CONFIG_DRIVE], lookup)
    meta: Object = {"instance_id": instance_id(vmi), "hostname": guest_hostname(vmi),
                    "uuid": get(vmi, "metadata", "uid", default="")}
    if keys := _public_keys(vmi, "configDrive", lookup):
        meta["public_keys"] = keys
    if devices := tagged_devices(vmi, cards):
        meta["devices"] = devices
    files = {"openstack/latest/meta_data.json": json.dumps(meta).encode(), "openstack/latest/user_data": user}
    return Seed("config-2", files | ({"openstack/latest/network_data.json": network} if network else {}))


def _data(vmi: Object, volume: str, source: Mapping[str, Any], lookup: Lookup) -> tuple[bytes, bytes]:
    """User data and network data: from a secret where one is named, else inline."""
    user = _part(vmi, volume, source, ("secretRef", "userData", "userdata"), lookup)
    network = _part(vmi, volume, source, ("networkDataSecretRef", "networkData", "networkdata"), lookup)
    return user, network


def _part(vmi: Object, volume: str, source: Mapping[str, Any], names: tuple[str, str, str], lookup: Lookup) -> bytes:
    reference, camel, lower = names
    secret = get(source, reference, "name")
    if secret:
        data = _content(vmi, volume, "Secret", str(secret), lookup)
        return data.get(lower) or data.get(camel) or b""
    if encoded := source.get(f"{camel}Base64"):
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise _problem(vmi, f"volume {volume!r}: {camel}Base64 is not base64") from None
    return str(source.get(camel) or "").encode()


def _content(vmi: Object, volume: str, kind: str, wanted: str, lookup: Lookup) -> dict[str, bytes]:
    """The keys of a Secret or ConfigMap, decoded. Raises Problem when it does not exist."""
    found = lookup(kind, wanted)
    if found is None:
        why = f"volume {volume!r}: {kind} {namespace(vmi)}/{wanted} not found"
        raise Problem(f"start the machine {name(vmi)}", why, f"create the {kind} {wanted}", "FailedMount")
    plain = {key: str(text).encode() for key, text in (found.get("stringData") or {}).items()}
    if kind == "ConfigMap":
        plain |= {key: str(text).encode() for key, text in (found.get("data") or {}).items()}
        return plain | {key: base64.b64decode(text) for key, text in (found.get("binaryData") or {}).items()}
    return {key: base64.b64decode(text or "") for key, text in (found.get("data") or {}).items()} | plain


def _object(vmi: Object, volume: Mapping[str, Any], kind: str, wanted: str, lookup: Lookup) -> Seed:
    source = volume["configMap" if kind == "ConfigMap" else "secret"]
    if source.get("optional") and lookup(kind, wanted) is None:
        return Seed(str(source.get("volumeLabel") or "cfgdata"), {})
    return Seed(str(source.get("volumeLabel") or "cfgdata"), _content(vmi, volume["name"], kind, wanted, lookup))


def _sysprep(vmi: Object, volume: Mapping[str, Any], lookup: Lookup) -> Seed:
    """The disk on which Windows' setup looks for its answers."""
    source = volume["sysprep"]
    for kind, key in (("ConfigMap", "configMap"), ("Secret", "secret")):
        if wanted := get(source, key, "name"):
            content = _content(vmi, volume["name"], kind, str(wanted), lookup)
            if not any(file.lower() in _ANSWERS for file in content):
                why = f"Sysprep drive should contain {_ANSWERS[0]} or {_ANSWERS[1]} but neither were found."
                raise _problem(vmi, f"volume {volume['name']!r}: {why}")
            return Seed("unattendCD", content)
    raise _problem(vmi, f"volume {volume['name']!r}: sysprep names neither a ConfigMap nor a Secret")


def _downward(source: Mapping[str, Any], pod: Object) -> Seed:
    """What the launcher pod says of itself, as files."""
    found = files.files({"downwardAPI": {"items": source.get("fields") or ()}}, pod, lambda kind, wanted: None) or []
    return Seed(str(source.get("volumeLabel") or "cfgdata"), {file.path: file.content for file in found})


def _public_keys(vmi: Object, way: str, lookup: Lookup) -> dict[str, str]:
    """SSH keys that spec.accessCredentials hands over through the seed."""
    found: list[str] = []
    for one in get(vmi, "spec", "accessCredentials", default=()):
        key = one.get("sshPublicKey") or {}
        secret = get(key, "source", "secret", "secretName")
        if secret and way in (key.get("propagationMethod") or {}):
            data = _content(vmi, "accessCredentials", "Secret", str(secret), lookup)
            found += [text.decode(errors="replace").strip() for _, text in sorted(data.items())]
    return {str(number): text for number, text in enumerate(found)}


def _problem(vmi: Object, why: str) -> Problem:
    return Problem(f"start the machine {name(vmi)}", why, reason="FailedMount")
