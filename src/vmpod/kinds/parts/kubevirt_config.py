"""What `spec.configuration` of the KubeVirt object changes: defaults of machines, limits, ratios. Pure.

A value that makes no sense counts as not said; the object's own rules refuse it when it is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, Final

from vmpod.kinds.parts.machine_defaults import HOST_ARCHITECTURE, default_machine, default_template
from vmpod.kinds.parts.machine_hotplug import USUAL, Growth
from vmpod.kinds.parts.reading import dig, entries, fill, section, text
from vmpod.kinds.parts.support import ACTED, Near, OneOf, Tree, refusals
from vmpod.model import quantity
from vmpod.model.meta import Object
from vmpod.model.status import NOT_SUPPORTED, FieldError, wrong

NAMESPACE: Final = "kubevirt"
NAME: Final = "kubevirt"
"""Of the one KubeVirt object that is read."""
CPU_RATIO: Final = 10
_STRATEGIES: Final = ("None", "LiveMigrate", "LiveMigrateIfPossible", "External")
_SMBIOS: Final = ("manufacturer", "product", "version", "sku", "family")
_MIGRATIONS: Final = (
    "allowAutoConverge", "bandwidthPerMigration", "completionTimeoutPerGiB", "parallelMigrationsPerCluster",
    "parallelOutboundMigrationsPerNode", "progressTimeout",
)
_ARCHITECTURE: Tree = {"machineType": ACTED, "emulatedMachines": ACTED}
SUPPORT: Tree = {
    "architectureConfiguration": {HOST_ARCHITECTURE: _ARCHITECTURE},
    "machineType": ACTED, "emulatedMachines": ACTED, "cpuModel": ACTED, "cpuRequest": ACTED,
    "evictionStrategy": OneOf(_STRATEGIES), "vmRolloutStrategy": OneOf(("LiveUpdate", "Stage")),
    "developerConfiguration": {
        "cpuAllocationRatio": ACTED, "memoryOvercommit": ACTED,
        "useEmulation": Near("machines are emulated where KVM does not work, whatever it says"),
    },
    "imagePullPolicy": Near("of the parts of KubeVirt; here these have no images"),
    "liveUpdateConfiguration": {"maxHotplugRatio": ACTED, "maxCpuSockets": ACTED, "maxGuest": ACTED},
    "migrations": dict.fromkeys(_MIGRATIONS, ACTED),
    "network": {"defaultNetworkInterface": OneOf(("bridge", "masquerade")), "permitBridgeInterfaceOnPodNetwork": ACTED},
    "smbios": dict.fromkeys(_SMBIOS, ACTED),
}
_COUNTS: Final = (
    ("developerConfiguration", "cpuAllocationRatio"), ("developerConfiguration", "memoryOvercommit"),
    ("liveUpdateConfiguration", "maxHotplugRatio"), ("liveUpdateConfiguration", "maxCpuSockets"),
    ("migrations", "parallelMigrationsPerCluster"), ("migrations", "parallelOutboundMigrationsPerNode"),
    ("migrations", "completionTimeoutPerGiB"), ("migrations", "progressTimeout"),
)
_AMOUNTS: Final = (("cpuRequest",), ("liveUpdateConfiguration", "maxGuest"), ("migrations", "bandwidthPerMigration"))


def configuration_of(kubevirt: Object | None) -> Object:
    """What the KubeVirt object says of all machines; empty where it says nothing, or is not there."""
    return dig(kubevirt, "spec", "configuration") if kubevirt else {}


def config_errors(config: Object, path: str) -> Iterator[FieldError]:
    """Every value that cannot be acted on."""
    yield from refusals(config, SUPPORT, path)
    for *above, key in _COUNTS:
        value = dig(config, *above).get(key)
        if value is not None and _count(value) is None:
            yield wrong(".".join((path, *above, key)), value, "must be greater than zero")
    for *above, key in _AMOUNTS:
        value = dig(config, *above).get(key)
        if value is not None and not quantity.is_valid(value):
            yield wrong(".".join((path, *above, key)), value, quantity.RULE)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def cpu_ratio(config: Object) -> int:
    """How many vCPUs share a CPU."""
    return _count(dig(config, "developerConfiguration").get("cpuAllocationRatio")) or CPU_RATIO


def is_staged(config: Object) -> bool:
    """Whether what is changed in a template waits for a restart, all of it."""
    return text(config, "vmRolloutStrategy") == "Stage"


def migration_settings(config: Object) -> Object:
    """What the configuration says about all migrations."""
    given = dig(config, "migrations")
    counts = [key for above, key in _COUNTS if above == "migrations"]
    kept = {key: given[key] for key in _MIGRATIONS if given.get(key) is not None}
    return {key: value for key, value in kept.items() if key not in counts or _count(value)}


def smbios(config: Object) -> dict[str, str]:
    """What the guest reads of its maker, as far as the configuration says it."""
    given = dig(config, "smbios")
    return {key: text(given, key) for key in _SMBIOS if text(given, key)}


def default_from(spec: Object, name: str, config: Object) -> None:
    """Write into a machine's spec what the configuration gives to those that leave it open, and all other defaults."""
    fill_board(spec, config)
    if text(config, "evictionStrategy"):
        fill(spec, "evictionStrategy", text(config, "evictionStrategy"))
    if text(config, "cpuModel"):
        fill(section(spec, "domain", "cpu"), "model", text(config, "cpuModel"))
    _fill_requests(section(spec, "domain"), config)
    _fill_network(spec, text(dig(config, "network"), "defaultNetworkInterface"))
    default_machine(spec, name, _growth(dig(config, "liveUpdateConfiguration")))


def fill_board(spec: Object, config: Object) -> None:
    """The machine type of the configuration."""
    own = dig(config, "architectureConfiguration", HOST_ARCHITECTURE)
    if wanted := text(own, "machineType") or text(config, "machineType"):
        fill(section(spec, "domain", "machine"), "type", wanted)
    default_template(spec)


def _fill_requests(domain: Object, config: Object) -> None:
    """Memory is asked for by the rate of over-commitment; nothing is where the machine says it, or has a limit."""
    resources, guest = section(domain, "resources"), dig(domain, "memory").get("guest")
    asked = {**dig(resources, "limits"), **dig(resources, "requests")}
    percent = _count(dig(config, "developerConfiguration").get("memoryOvercommit"))
    if percent and asked.get("memory") is None and guest is not None and quantity.is_valid(guest):
        amount = quantity.format_bytes(quantity.to_bytes(guest) * 100 // percent)
        section(resources, "requests")["memory"] = amount
    own = config.get("cpuRequest")
    pinned = dig(domain, "cpu").get("dedicatedCpuPlacement")
    if own is not None and quantity.is_valid(own) and asked.get("cpu") is None and not pinned:
        section(resources, "requests")["cpu"] = own


def _fill_network(spec: Object, binding: str) -> None:
    devices = section(spec, "domain", "devices")
    said = devices.get("autoattachPodInterface") is False or spec.get("networks") or devices.get("interfaces")
    if binding and not said:
        devices["interfaces"] = [{"name": "default", binding: {}}]
        spec["networks"] = [{"name": "default", "pod": {}}]


def _growth(given: Object) -> Growth:
    most = given.get("maxGuest")
    bytes = quantity.to_bytes(most) if most is not None and quantity.is_valid(most) else 0
    ratio, sockets = _count(given.get("maxHotplugRatio")), _count(given.get("maxCpuSockets"))
    return Growth(ratio or USUAL.ratio, sockets or 0, bytes)


def machine_faults(spec: Object, path: str, config: Object) -> Iterator[FieldError]:
    """What the configuration does not allow."""
    own = dig(config, "architectureConfiguration", HOST_ARCHITECTURE)
    allowed = own.get("emulatedMachines") or config.get("emulatedMachines") or ()
    board = text(dig(spec, "domain", "machine"), "type")
    if allowed and not any(fnmatchcase(board, str(one)) for one in allowed):
        told = f"{path}.domain.machine.type is not supported: {board} (allowed values: [{' '.join(map(str, allowed))}])"
        yield FieldError(f"{path}.domain.machine.type", NOT_SUPPORTED, told, board)
    if dig(config, "network").get("permitBridgeInterfaceOnPodNetwork") is not False:
        return
    pods = {text(one, "name") for one in entries(spec, "networks") if one.get("pod") is not None}
    for index, card in enumerate(entries(dig(spec, "domain", "devices"), "interfaces")):
        if card.get("bridge") is not None and text(card, "name") in pods:
            where = f"{path}.domain.devices.interfaces[{index}].name"
            told = "Bridge on pod network configuration is not enabled under kubevirt-config"
            yield wrong(where, text(card, "name"), told)
