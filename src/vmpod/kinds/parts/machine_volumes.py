"""Rules of the volumes of a machine, with KubeVirt's texts."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.parts import checks
from vmpod.kinds.parts.acpi_tables import table_volumes
from vmpod.kinds.parts.file_rules import decoded
from vmpod.kinds.parts.reading import dig, entries, indexed, mapping, set_keys, text
from vmpod.model import names, quantity
from vmpod.model.meta import Object
from vmpod.model.status import NOT_FOUND, FieldError, required, wrong

SOURCES = (
    "containerDisk", "persistentVolumeClaim", "dataVolume", "cloudInitNoCloud", "cloudInitConfigDrive", "emptyDisk",
    "ephemeral", "hostDisk", "configMap", "secret", "serviceAccount", "downwardAPI", "downwardMetrics", "sysprep",
    "memoryDump", "containerPath",
)
# KubeVirt keeps inline user and network data this short, because whole objects travel to many nodes.
INLINE_MAX_BYTES = 2048
_ONCE = {"serviceAccount": "serviceAccount", "downwardMetrics": "downwardMetric", "memoryDump": "memory dump"}
HOST_DISK_TYPES = ("Disk", "DiskOrCreate")


def volume_errors(spec: Object, path: str) -> Iterator[FieldError]:
    """Every fault of `volumes`: names, one source each, what each source needs, a disk for each."""
    devices = dig(spec, "domain", "devices")
    used = {text(entry, "name") for key in ("disks", "filesystems") for entry in entries(devices, key)}
    used |= table_volumes(spec).keys()
    places: dict[str, str] = {}
    for here, volume in indexed(spec, "volumes", path):
        name = text(volume, "name")
        yield from _name_errors(name, here, places, used)
        given = set_keys(volume, SOURCES)
        if len(given) != 1:
            yield wrong(here, name, f"{here} must have exactly one source type set")
        for key in given:
            yield from _source_errors(key, mapping(volume[key]), here)
    for key, told in _ONCE.items():
        if sum(volume.get(key) is not None for volume in entries(spec, "volumes")) > 1:
            yield wrong(f"{path}.volumes", key, f"{path}.volumes must have max one {told} volume set")


def _name_errors(name: str, path: str, places: dict[str, str], used: set[str]) -> Iterator[FieldError]:
    if not name:
        yield required(f"{path}.name")
        return
    if name in places:
        yield wrong(f"{path}.name", name, f"{path} and {places[name]} must not have the same Name.")
    places.setdefault(name, path)
    for fault in names.label_faults(name):
        yield wrong(f"{path}.name", name, fault)
    if name not in used:
        yield wrong(f"{path}.name", name, f"{path}.name '{name}' not found.")


def _source_errors(kind: str, source: Object, path: str) -> Iterator[FieldError]:
    here = f"{path}.{kind}"
    match kind:
        case "containerDisk":
            yield from _container_disk_errors(source, here)
        case "dataVolume" if not source.get("name"):
            yield required(f"{path}.name", "DataVolume 'name' must be set")
        case "persistentVolumeClaim" if not source.get("claimName"):
            yield required(f"{here}.claimName", f"{here}.claimName is a required field")
        case "cloudInitNoCloud" | "cloudInitConfigDrive":
            yield from _cloud_init_errors(source, here)
        case "hostDisk":
            yield from _host_disk_errors(source, here)
        case "emptyDisk":
            yield from _empty_disk_errors(source, here)
        case "configMap" if not source.get("name"):
            yield wrong(f"{here}.name", "", f"{here}.name is a required field")
        case "serviceAccount" if not source.get("serviceAccountName"):
            yield wrong(f"{here}.serviceAccountName", "", f"{here}.serviceAccountName is a required field")
        case "secret" if not source.get("secretName"):
            yield wrong(f"{here}.secretName", "", f"{here}.secretName is a required field")


def _container_disk_errors(source: Object, path: str) -> Iterator[FieldError]:
    if not text(source, "image"):
        yield required(f"{path}.image")
    yield from checks.inner_path_errors(text(source, "path"), path)


def _cloud_init_errors(source: Object, path: str) -> Iterator[FieldError]:
    """Each of user data and network data from one place at most, and at least one of them."""
    counts = []
    for data, reference in (("userData", "secretRef"), ("networkData", "networkDataSecretRef")):
        encoded = f"{data}Base64"
        given = [key for key in (data, encoded) if source.get(key)]
        given += [reference] if dig(source, reference).get("name") else []
        counts.append(len(given))
        if len(given) > 1:
            told = "userdatasource" if data == "userData" else "networkdata source"
            yield wrong(path, given, f"{path} must have only one {told} set.")
        content = text(source, data).encode()
        if source.get(encoded):
            content = decoded(source[encoded]) or b""
            if not content:
                yield wrong(f"{path}.{encoded}", source[encoded], f"{path}.{encoded} is not a valid base64 value.")
        if len(content) > INLINE_MAX_BYTES:
            other = "UserDataSecretRef" if data == "userData" else "NetworkDataSecretRef"
            told = f"{path} {data.lower()} exceeds {INLINE_MAX_BYTES} byte limit. Should use {other} for larger data."
            yield wrong(path, len(content), told)
    if not any(counts):
        yield wrong(path, "", f"{path} must have at least one userdatasource or one networkdatasource set.")


def _host_disk_errors(source: Object, path: str) -> Iterator[FieldError]:
    type = text(source, "type")
    if not text(source, "path"):
        yield FieldError(f"{path}.path", NOT_FOUND, f"{path}.path is required for hostDisk volume", "")
    if type not in HOST_DISK_TYPES:
        told = f"{path}.type has invalid value '{type}', allowed are 'Disk' or 'DiskOrCreate'"
        yield wrong(f"{path}.type", type, told)
    capacity = source.get("capacity")
    if type == "Disk" and capacity:
        told = f"{path}.capacity is allowed to pass only with {path}.type equal to 'DiskOrCreate'"
        yield wrong(f"{path}.capacity", capacity, told)


def _empty_disk_errors(source: Object, path: str) -> Iterator[FieldError]:
    capacity = source.get("capacity")
    if capacity is None:
        yield required(f"{path}.capacity")
    elif not quantity.is_valid(capacity) or quantity.parse(capacity) <= 0:
        yield wrong(f"{path}.capacity", capacity, "must be greater than zero")
