"""Rules of the spec of a machine: KubeVirt's validating webhook (vmi-create-admitter), with its texts."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.parts import checks
from vmpod.kinds.parts.acpi_tables import table_errors
from vmpod.kinds.parts.kernel_boot import kernel_boot_errors
from vmpod.kinds.parts.machine_defaults import HOST_ARCHITECTURE
from vmpod.kinds.parts.machine_device_rules import device_errors
from vmpod.kinds.parts.machine_disks import disk_errors
from vmpod.kinds.parts.machine_networks import network_errors
from vmpod.kinds.parts.machine_support import support_errors
from vmpod.kinds.parts.machine_volumes import volume_errors
from vmpod.kinds.parts.metadata import label_errors
from vmpod.kinds.parts.pci_address import address_errors
from vmpod.kinds.parts.reading import dig, indexed, mapping, set_keys, text
from vmpod.model import names, quantity
from vmpod.model.meta import Object
from vmpod.model.status import NOT_SUPPORTED, FieldError, required, wrong

PROBE_HANDLERS = ("httpGet", "tcpSocket", "exec", "guestAgentPing")
EVICTION_STRATEGIES = ("None", "LiveMigrate", "LiveMigrateIfPossible", "External")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
CPU_POLICIES = ("force", "require", "optional", "disable", "forbid")
_SMALLEST_BYTES = 10**6


def machine_errors(spec: Object, path: str) -> Iterator[FieldError]:
    """Every fault of a defaulted machine spec."""
    domain = mapping(spec.get("domain"))
    yield from _name_errors(spec, path)
    yield from _memory_errors(domain, f"{path}.domain")
    yield from _cpu_errors(domain, f"{path}.domain")
    yield from _firmware_errors(mapping(domain.get("firmware")), f"{path}.domain.firmware")
    yield from table_errors(spec, path)
    yield from device_errors(spec, path)
    yield from volume_errors(spec, path)
    yield from disk_errors(spec, path)
    yield from network_errors(spec, path)
    yield from address_errors(spec, path)
    yield from _policy_errors(spec, path)
    yield from support_errors(spec, path)
    for key in ("readinessProbe", "livenessProbe"):
        if spec.get(key) is not None:
            yield from _probe_errors(mapping(spec[key]), f"{path}.{key}")
    yield from label_errors(spec.get("nodeSelector"), f"{path}.nodeSelector")


def _name_errors(spec: Object, path: str) -> Iterator[FieldError]:
    hostname, subdomain = text(spec, "hostname"), text(spec, "subdomain")
    faults = names.label_faults(hostname) if hostname else []
    if faults:
        told = f"{path}.hostname does not conform to the kubernetes DNS_LABEL rules : {', '.join(faults)}"
        yield wrong(f"{path}.hostname", hostname, told)
    faults = names.subdomain_faults(subdomain) if subdomain else []
    if faults:
        told = f"{path}.subdomain does not conform to the kubernetes DNS_SUBDOMAIN rules : {', '.join(faults)}"
        yield wrong(f"{path}.subdomain", subdomain, told)
    if text(spec, "architecture") not in ("", HOST_ARCHITECTURE):
        told = f"machines of this host are {HOST_ARCHITECTURE}"
        yield wrong(f"{path}.architecture", spec["architecture"], told)


def _bytes(value: object) -> int | None:
    return quantity.to_bytes(value) if isinstance(value, (str, int)) and quantity.is_valid(value) else None


def _memory_errors(domain: Object, path: str) -> Iterator[FieldError]:
    """Memory is asked for, and no more of it than the limit."""
    requests, limits = dig(domain, "resources", "requests"), dig(domain, "resources", "limits")
    memory = mapping(domain.get("memory"))
    where = (
        (f"{path}.memory.guest", memory.get("guest")), (f"{path}.resources.requests.memory", requests.get("memory")),
        (f"{path}.resources.limits.memory", limits.get("memory")),
    )
    for here, value in where:
        if value is not None:
            yield from _amount_errors(value, here)
    guest, requested, limit = (_bytes(value) for _, value in where)
    if not any((guest, requested, limit)) and memory.get("hugepages") is None:
        told = (
            f"no memory requested, at least one of '{where[0][0]}', '{path}.memory.hugepages.size' or "
            f"'{where[1][0]}' must be set"
        )
        yield required(f"{path}.memory.guest", told)
    if limit and requested and requested > limit:
        told = f"{where[1][0]} '{where[1][1]}' is greater than {where[2][0]} '{where[2][1]}'"
        yield wrong(where[1][0], where[1][1], told)
    if limit and guest and guest > limit:
        told = (
            f"{where[0][0]} '{where[0][1]}' must be equal to or less than the memory limit "
            f"{where[2][0]} '{where[2][1]}'"
        )
        yield wrong(where[0][0], where[0][1], told)


def _amount_errors(value: object, path: str) -> Iterator[FieldError]:
    amount = _bytes(value)
    if amount is None:
        yield wrong(path, value, quantity.RULE)
    elif amount < 0:
        yield wrong(path, value, f"{path} '{value}': must be greater than or equal to 0.")
    elif 0 < amount < _SMALLEST_BYTES:
        yield wrong(path, value, f"{path} '{value}': must be greater than or equal to 1M.")


def _cpu_errors(domain: Object, path: str) -> Iterator[FieldError]:
    cpu = mapping(domain.get("cpu"))
    yield from checks.not_negative(cpu, ("cores", "sockets", "threads", "maxSockets"), f"{path}.cpu")
    sockets, most = cpu.get("sockets"), cpu.get("maxSockets")
    if isinstance(sockets, int) and isinstance(most, int) and 0 < most < sockets:
        told = "Number of sockets in CPU topology is greater than the maximum sockets allowed"
        yield wrong(f"{path}.cpu.sockets", sockets, told)
    for here, feature in indexed(cpu, "features", f"{path}.cpu"):
        policy = text(feature, "policy")
        yield from checks.needed(feature, "name", here)
        if policy and policy not in CPU_POLICIES:
            told = f"CPU feature {text(feature, 'name')} uses policy {policy} that is not supported."
            yield FieldError(f"{here}.policy", NOT_SUPPORTED, told, policy)
    resources = mapping(domain.get("resources"))
    for kind in ("requests", "limits"):
        value = dig(resources, kind).get("cpu")
        if value is not None:
            yield from checks.quantity_errors(value, f"{path}.resources.{kind}.cpu")


def _firmware_errors(firmware: Object, path: str) -> Iterator[FieldError]:
    loader, serial = dig(firmware, "bootloader"), text(firmware, "serial")
    if loader.get("efi") is not None and loader.get("bios") is not None:
        told = f"{path}.bootloader has both EFI and BIOS configured, but they are mutually exclusive."
        yield wrong(f"{path}.bootloader", loader, told)
    yield from kernel_boot_errors(firmware, path)
    if len(serial) > 256:
        told = f"{path}.serial must be less than or equal to 256 in length, if specified"
        yield wrong(f"{path}.serial", serial, told)
    if serial and not all(letter.isalnum() or letter in "_.+-" for letter in serial):
        told = f"{path}.serial must be made up of the following characters [A-Za-z0-9_.+-], if specified"
        yield wrong(f"{path}.serial", serial, told)


def _policy_errors(spec: Object, path: str) -> Iterator[FieldError]:
    eviction = text(spec, "evictionStrategy")
    if eviction and eviction not in EVICTION_STRATEGIES:
        told = f"{path}.evictionStrategy is set with an unrecognized option: {eviction}"
        yield wrong(f"{path}.evictionStrategy", eviction, told)
    start = text(spec, "startStrategy")
    if start and start != "Paused":
        told = f"{path}.startStrategy is set with an unrecognized option: {start}"
        yield wrong(f"{path}.startStrategy", start, told)
    elif start and spec.get("livenessProbe") is not None:
        told = (f"either {path}.startStrategy or {path}.livenessProbe should be provided."
                "Pausing VMI with LivenessProbe is not supported")
        yield wrong(f"{path}.startStrategy", start, told)
    yield from checks.one_of(spec, "dnsPolicy", path, DNS_POLICIES)
    yield from checks.not_negative(spec, ("terminationGracePeriodSeconds",), path)


def _probe_errors(probe: Object, path: str) -> Iterator[FieldError]:
    given = set_keys(probe, PROBE_HANDLERS)
    if len(given) > 1:
        yield wrong(path, probe, f"{path} must have exactly one probe type set")
    if not given:
        told = f"either {path}.tcpSocket, {path}.exec or {path}.httpGet must be set if a {path} is specified"
        yield required(path, told)
    for key in ("httpGet", "tcpSocket"):
        if key in given:
            yield from checks.port_or_name_errors(mapping(probe[key]).get("port"), f"{path}.{key}.port")
