"""What an instance type writes into a machine, and where the two contradict: KubeVirt's pkg/instancetype/apply."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

from vmpod.kinds.parts.machine_defaults import attach_volumes, default_network
from vmpod.kinds.parts.matchers import INSTANCETYPE, PREFERENCE
from vmpod.kinds.parts.preference_rules import THREADS, spread_errors, spread_options, topology
from vmpod.kinds.parts.preferences import apply_autoattach, apply_preference
from vmpod.kinds.parts.reading import dig, mapping, number, section
from vmpod.model import quantity
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, wrong

_CPU = ("model", "dedicatedCPUPlacement", "isolateEmulatorThread", "numa", "realtime")
_WHOLE = (("ioThreadsPolicy",), ("ioThreads",), ("launchSecurity",))
_LISTS = (("devices", "gpus"), ("devices", "hostDevices"))
_LAUNCH_SECURITY = "launchSecurity is deprecated and will be removed in a future release. Use preference instead."


def rules(new: Object, old: Object | None) -> list[FieldError]:
    """Faults of an instance type by itself."""
    return list(_memory_errors(mapping(new.get("spec"))))


def warnings(obj: Object) -> list[str]:
    """Fields of an instance type that are on their way out."""
    return [_LAUNCH_SECURITY] if mapping(obj.get("spec")).get("launchSecurity") is not None else []


def _memory_errors(spec: Object) -> Iterator[FieldError]:
    memory, path = dig(spec, "memory"), "spec.memory.overcommitPercent"
    percent = number(memory, "overcommitPercent") or 0
    if not 0 <= percent <= 100:
        yield wrong(path, percent, f"{path} '{percent}': must be in range between 0 and 100.")
    if percent and memory.get("hugepages") is not None:
        yield wrong(path, percent, f"{path} and spec.memory.hugepages should not be requested together.")


def expand(template: Object, instancetype: Object | None, preference: Object | None, path: str) -> list[FieldError]:
    """Write what both say (their specs) into a VM's template in place; the faults when they contradict it.

    `path` is that of the template's spec, for messages. A template with faults is of no use any more.
    """
    spec, metadata = section(template, "spec"), section(template, "metadata")
    faults = [*spread_errors(number(dig(instancetype, "cpu"), "guest") or 0, preference)] if instancetype else []
    if instancetype is not None and not faults:
        faults = list(conflicts(instancetype, template, path))
        if not faults:
            _apply(instancetype, preference, spec, metadata)
    if faults:
        return faults
    apply_autoattach(preference, spec)
    attach_volumes(spec)
    default_network(spec)
    if preference is not None:
        apply_preference(preference, spec, metadata)
    return []


def expanded(vm: Object, instancetype: Object | None, preference: Object | None) -> tuple[Object, list[FieldError]]:
    """A copy of the machine that says itself what both gave it, its matchers gone."""
    copied = deepcopy(vm)
    spec = section(copied, "spec")
    for matcher in (INSTANCETYPE, PREFERENCE):
        spec.pop(matcher.field, None)
    return copied, expand(section(spec, "template"), instancetype, preference, "spec.template.spec")


def conflicts(instancetype: Object, template: Object, path: str) -> Iterator[FieldError]:
    """Fields of the machine that belong to its instance type."""
    spec = dig(template, "spec")
    for field, value in _taken(instancetype, spec):
        yield _conflict(f"{path}.{field}", value)
    held = dig(template, "metadata", "annotations")
    for key, value in mapping(instancetype.get("annotations")).items():
        if held.get(key, value) != value:
            yield _conflict(f"annotations.{key}", held[key])


def _conflict(path: str, value: object) -> FieldError:
    return wrong(path, value, f"VM field(s) {path} conflicts with selected instance type")


def _taken(instancetype: Object, spec: Object) -> Iterator[tuple[str, object]]:
    domain = dig(spec, "domain")
    for key in ("nodeSelector", "schedulerName"):
        if instancetype.get(key) and spec.get(key):
            yield key, spec[key]
    yield from _resources(domain, "cpu")
    cpu, given = dig(domain, "cpu"), dig(instancetype, "cpu")
    for key in ("sockets", "cores", "threads", *_CPU):
        is_taken = given.get(key) is not None if key in _CPU else True
        if is_taken and cpu.get(key) not in (None, "", False, 0):
            yield f"domain.cpu.{key}", cpu[key]
    memory = dig(domain, "memory")
    for key in ("guest", "hugepages", "maxGuest"):
        if memory.get(key) is not None and dig(instancetype, "memory").get(key) is not None:
            yield f"domain.memory.{key}", memory[key]
    yield from _resources(domain, "memory")
    for keys in (*_WHOLE, *_LISTS):
        found = dig(domain, *keys[:-1]).get(keys[-1])
        if found and instancetype.get(keys[-1]):
            yield ".".join(("domain", *keys)), found


def _resources(domain: Object, name: str) -> Iterator[tuple[str, object]]:
    for kind in ("requests", "limits"):
        found = dig(domain, "resources", kind)
        if name in found:
            yield f"domain.resources.{kind}.{name}", found[name]


def _apply(instancetype: Object, preference: Object | None, spec: Object, metadata: Object) -> None:
    domain = section(spec, "domain")
    for key in ("nodeSelector", "schedulerName"):
        if instancetype.get(key):
            spec[key] = deepcopy(instancetype[key])
    _apply_cpu(dig(instancetype, "cpu"), preference, section(domain, "cpu"))
    _apply_memory(dig(instancetype, "memory"), domain)
    for keys in (*_WHOLE, *_LISTS):
        if instancetype.get(keys[-1]):
            section(domain, *keys[:-1])[keys[-1]] = deepcopy(instancetype[keys[-1]])
    if annotations := mapping(instancetype.get("annotations")):
        metadata["annotations"] = {**mapping(metadata.get("annotations")), **annotations}


def _apply_cpu(wanted: Object, preference: Object | None, cpu: Object) -> None:
    for key in (*_CPU, "maxSockets"):
        if wanted.get(key) is not None:
            cpu[key] = deepcopy(wanted[key])
    cpu |= layout(number(wanted, "guest") or 1, preference)


def layout(cpus: int, preference: Object | None) -> dict[str, int]:
    """The topology of so many vCPUs, as the preference has it."""
    one, wanted = {"cores": 1, "sockets": 1, "threads": 1}, topology(preference)
    if cpus == 1:
        return one
    if wanted != "spread":
        return one | {"sockets" if wanted == "any" else wanted: cpus}
    ratio, across = spread_options(preference)
    if across == "SocketsCores":
        return one | {"cores": ratio, "sockets": cpus // ratio}
    if across == "CoresThreads":
        return one | {"threads": ratio, "cores": cpus // ratio}
    return {"threads": THREADS, "cores": ratio, "sockets": cpus // THREADS // ratio}


def _apply_memory(wanted: Object, domain: Object) -> None:
    memory = section(domain, "memory")
    for key in ("guest", "hugepages", "maxGuest"):
        if wanted.get(key) is not None:
            memory[key] = deepcopy(wanted[key])
    percent = number(wanted, "overcommitPercent") or 0
    if percent > 0 and quantity.is_valid(wanted.get("guest")):
        asked = quantity.to_bytes(wanted["guest"]) * (100 - percent) // 100
        section(domain, "resources", "requests")["memory"] = quantity.format_bytes(asked)
