"""Rules of preferences: their own validity, and what they require of a machine (KubeVirt's texts)."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.parts.reading import dig, mapping, number, text
from vmpod.model import quantity
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, wrong

TOPOLOGIES = ("sockets", "cores", "threads", "spread", "any")
DEPRECATED = {f"prefer{name.title()}": name for name in TOPOLOGIES}
ACROSS = ("CoresThreads", "SocketsCores", "SocketsCoresThreads")
THREADS = 2  # of a core, when vCPUs are spread over all three levels
_CORES_THREADS = "only a ratio of 2 (1 core 2 threads) is allowed when spreading vCPUs over cores and threads"
_SPREAD_LEVELS = {
    "SocketsCores": ("sockets", "cores"), "CoresThreads": ("cores", "threads"),
    "SocketsCoresThreads": ("sockets", "cores", "threads"),
}


def topology(preference: Object | None) -> str:
    """How vCPUs are laid out; as sockets unless said otherwise."""
    found = text(dig(preference, "cpu"), "preferredCPUTopology") or "sockets"
    return DEPRECATED.get(found, found)


def spread_options(preference: Object | None) -> tuple[int, str]:
    """The ratio, and between which levels, in which vCPUs are spread."""
    options = dig(preference, "cpu", "spreadOptions")
    ratio = number(options, "ratio") or number(preference, "preferSpreadSocketToCoreRatio") or 2
    return ratio, text(options, "across") or "SocketsCores"


def rules(new: Object, old: Object | None) -> list[FieldError]:
    """Faults of a preference by itself."""
    return list(_topology_errors(mapping(new.get("spec"))))


def warnings(obj: Object) -> list[str]:
    """Words of a preference that are on their way out."""
    found = text(dig(obj, "spec", "cpu"), "preferredCPUTopology")
    if found not in DEPRECATED:
        return []
    return [f"PreferredCPUTopology {found} is deprecated for removal in a future release, "
            f"please use {DEPRECATED[found]} instead"]


def _topology_errors(spec: Object) -> Iterator[FieldError]:
    wanted = topology(spec)
    if wanted not in TOPOLOGIES:
        yield wrong("spec.cpu.preferredCPUTopology", wanted, f"unknown preferredCPUTopology {wanted}")
    if wanted != "spread":
        return
    ratio, across = spread_options(spec)
    if across not in ACROSS:
        yield wrong("spec.cpu.spreadOptions.across", across, f"across {across} is not supported")
    elif across == "CoresThreads" and ratio != THREADS:
        yield wrong("spec.cpu.spreadOptions.ratio", ratio, _CORES_THREADS)


def spread_errors(cpus: int, preference: Object | None) -> Iterator[FieldError]:
    """A number of vCPUs that cannot be spread as the preference says."""
    if topology(preference) != "spread":
        return
    ratio, across = spread_options(preference)
    told, given = "", f"{cpus} vCPUs provided by the instance type are not divisible by the"
    both = "Spec.PreferSpreadSocketToCoreRatio or Spec.CPU.PreferSpreadOptions.Ratio of"
    if across == "SocketsCores" and cpus % ratio:
        told = f"{given} {both} {ratio} provided by the preference"
    elif across == "CoresThreads" and cpus % ratio:
        told = f"{given} number of threads per core {ratio}"
    elif across == "SocketsCoresThreads" and (cpus % THREADS or cpus // THREADS % ratio):
        told = f"{given} number of threads per core {THREADS} and {both} {ratio}"
    if told:
        yield wrong("instancetype.spec.cpu.guest", cpus, told)


def requirement_errors(instancetype: Object | None, preference: Object | None, spec: Object) -> Iterator[FieldError]:
    """What the machine (its spec as it will run) lacks of what the preference requires."""
    required = dig(preference, "requirements")
    faults = [*_cpu_faults(instancetype, preference, spec, number(dig(required, "cpu"), "guest") or 0),
              *_memory_faults(instancetype, spec, dig(required, "memory").get("guest"))]
    wanted, given = text(required, "architecture"), text(spec, "architecture")
    if wanted and given != wanted:
        told = f"preference requires architecture {wanted} but {given} is being requested"
        faults.append(("spec.template.spec.architecture", told))
    for path, fault in faults:
        yield wrong(path, None, f"failure checking preference requirements: {fault}")


def _cpu_faults(
    instancetype: Object | None, preference: Object | None, spec: Object, wanted: int
) -> Iterator[tuple[str, str]]:
    if instancetype is not None:
        given = number(dig(instancetype, "cpu"), "guest") or 0
        if given < wanted:
            told = f"insufficient CPU resources of {given} vCPU provided by instance type, "
            yield "spec.instancetype", f"{told}preference requires {wanted} vCPU"
        return
    cpu, path = dig(spec, "domain", "cpu"), "spec.template.spec.domain.cpu"
    if wanted and not cpu:
        yield path, f"no CPU resources provided by VirtualMachine, preference requires {wanted} vCPU"
        return
    levels, name = _counted(preference)
    given = 1
    for level in levels:
        given *= number(cpu, level) or 0
    if given < wanted:
        told = f"insufficient CPU resources of {given} vCPU provided by VirtualMachine, "
        yield f"{path}.{levels[0]}", f"{told}preference requires {wanted} vCPU provided as {name}"


def _counted(preference: Object | None) -> tuple[tuple[str, ...], str]:
    """The levels of the topology that count towards a requirement, and their name."""
    wanted = topology(preference)
    if wanted == "spread":
        across = spread_options(preference)[1]
        return _SPREAD_LEVELS.get(across, ("sockets",)), across
    return (("cores", "sockets", "threads"), "cores, sockets and threads") if wanted == "any" else ((wanted,), wanted)


def _memory_faults(instancetype: Object | None, spec: Object, wanted: object) -> Iterator[tuple[str, str]]:
    by_type = instancetype is not None
    given = dig(instancetype if by_type else dig(spec, "domain"), "memory").get("guest")
    if not _is_less(given, wanted):
        return
    path = "spec.instancetype" if by_type else "spec.template.spec.domain.memory"
    giver = "instance type" if by_type else "VirtualMachine"
    yield path, f"insufficient Memory resources of {given} provided by {giver}, preference requires {wanted}"


def _is_less(given: object, wanted: object) -> bool:
    amounts = [one for one in (given, wanted) if isinstance(one, (str, int, float)) and quantity.is_valid(one)]
    return len(amounts) == 2 and quantity.parse(amounts[0]) < quantity.parse(amounts[1])
