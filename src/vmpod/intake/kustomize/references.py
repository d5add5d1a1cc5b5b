"""Names that point at other objects: they follow when those are renamed.

The slots are those of kustomize's nameReference defaults for the kinds here, and those of machines and data volumes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from vmpod.intake.kustomize.item import Item
from vmpod.intake.kustomize.places import containers, machine_spec, maps, pod_spec
from vmpod.model.meta import Object, get, name, namespace


class Slot(NamedTuple):
    """A field that holds the name of an object of one of these kinds."""

    kinds: tuple[str, ...]
    holder: Object
    key: str


_CONFIG, _SECRET, _ACCOUNT = ("ConfigMap",), ("Secret",), ("ServiceAccount",)
_CLAIM = ("PersistentVolumeClaim", "DataVolume")  # the claim of a data volume carries its name
_VOLUMES = (
    (_CONFIG, ("configMap",), "name"), (_SECRET, ("secret",), "secretName"),
    (_CLAIM, ("persistentVolumeClaim",), "claimName"), (("DataVolume",), ("dataVolume",), "name"),
    (_ACCOUNT, ("serviceAccount",), "serviceAccountName"), (_SECRET, ("containerDisk",), "imagePullSecret"),
    (_SECRET, ("cloudInitNoCloud", "secretRef"), "name"),
    (_SECRET, ("cloudInitNoCloud", "networkDataSecretRef"), "name"),
    (_SECRET, ("cloudInitConfigDrive", "secretRef"), "name"),
    (_SECRET, ("cloudInitConfigDrive", "networkDataSecretRef"), "name"),
    (_CONFIG, ("sysprep", "configMap"), "name"), (_SECRET, ("sysprep", "secret"), "name"),
)  # fmt: skip
_ENVIRONMENT = (
    (_CONFIG, ("valueFrom", "configMapKeyRef"), "name"), (_SECRET, ("valueFrom", "secretKeyRef"), "name"),
    (_CONFIG, ("configMapRef",), "name"), (_SECRET, ("secretRef",), "name"),
)  # fmt: skip
_SOURCES = ((_CONFIG, ("configMap",), "name"), (_SECRET, ("secret",), "name"))


def names(items: list[Item]) -> dict[int, str]:
    """The names before a renaming, for `follow`."""
    return {id(item): name(item.obj) for item in items}


def follow(items: list[Item], before: dict[int, str]) -> None:
    """Put the present names into every slot. A name of before the renaming counts first, then any earlier one."""
    for item in items:
        for slot in slots(item.obj):
            found = _meant(items, before, slot, namespace(item.obj))
            if found is not None:
                slot.holder[slot.key] = name(found.obj)


def _meant(items: list[Item], before: dict[int, str], slot: Slot, space: str) -> Item | None:
    said = slot.holder[slot.key]
    near = [one for one in items if one.kind in slot.kinds and namespace(one.obj) in ("", space)]
    found = [one for one in near if before[id(one)] == said] or [one for one in near if one.is_called(said)]
    return found[0] if len({name(one.obj) for one in found}) == 1 else None


def slots(obj: Object) -> Iterator[Slot]:
    """Every name in an object that points at another one."""
    yield from _of_pod(pod_spec(obj))
    yield from _of_machine(machine_spec(obj))
    match obj.get("kind"):
        case "StatefulSet":
            yield from _slot(("Service",), obj, ("spec",), "serviceName")
        case "PersistentVolumeClaim":
            yield from _slot(("PersistentVolume",), obj, ("spec",), "volumeName")
        case "DataVolume":
            yield from _of_source(get(obj, "spec", "source"))
        case "VirtualMachine":
            for template in maps(get(obj, "spec", "dataVolumeTemplates")):
                yield from _of_source(get(template, "spec", "source"))
        case "ServiceAccount":
            for field in ("secrets", "imagePullSecrets"):
                yield from _each(obj.get(field), ((_SECRET, (), "name"),))


def _of_pod(pod: Object) -> Iterator[Slot]:
    for container in containers(pod):
        yield from _each(container.get("env"), _ENVIRONMENT)
        yield from _each(container.get("envFrom"), _ENVIRONMENT)
    yield from _each(pod.get("volumes"), _VOLUMES)
    for volume in maps(pod.get("volumes")):
        yield from _each(get(volume, "projected", "sources"), _SOURCES)
    yield from _each(pod.get("imagePullSecrets"), ((_SECRET, (), "name"),))
    yield from _slot(_ACCOUNT, pod, (), "serviceAccountName")


def _of_machine(machine: Object) -> Iterator[Slot]:
    yield from _each(machine.get("volumes"), _VOLUMES)
    for credential in maps(machine.get("accessCredentials")):
        for way in ("sshPublicKey", "userPassword"):
            yield from _slot(_SECRET, credential, (way, "source", "secret"), "secretName")


def _of_source(source: Any) -> Iterator[Slot]:
    """Where a data volume comes from: secrets, certificates, another claim."""
    if not isinstance(source, dict):
        return
    for way in source:
        if way == "pvc":
            yield from _slot(_CLAIM, source, (way,), "name")
        else:
            yield from _slot(_SECRET, source, (way,), "secretRef")
            yield from _slot(_CONFIG, source, (way,), "certConfigMap")


def _each(values: Any, table: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...]) -> Iterator[Slot]:
    for one in maps(values):
        for kinds, path, key in table:
            yield from _slot(kinds, one, path, key)


def _slot(kinds: tuple[str, ...], obj: Object, path: tuple[str, ...], key: str) -> Iterator[Slot]:
    holder = get(obj, *path) if path else obj
    if isinstance(holder, dict) and isinstance(holder.get(key), str):
        yield Slot(kinds, holder, key)
