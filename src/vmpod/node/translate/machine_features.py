"""What a machine's processor, clock and memory are told beyond their size: enlightenments, timers, pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vmpod.base.errors import Problem
from vmpod.drivers.qemu import spec as qemu
from vmpod.model import quantity
from vmpod.model.meta import Object, get

_HYPERV = {
    "relaxed": "relaxed", "vapic": "vapic", "vpindex": "vpindex", "runtime": "runtime", "synic": "synic",
    "synictimer": "stimer", "reset": "reset", "frequencies": "frequencies", "reenlightenment": "reenlightenment",
    "tlbflush": "tlbflush", "ipi": "ipi", "evmcs": "evmcs",
}
_NEEDS = {
    "synic": ("vpindex",), "stimer": ("synic", "time", "vpindex"), "tlbflush": ("vpindex",), "ipi": ("vpindex",),
    "evmcs": ("vapic",),
}  # QEMU refuses one without the other
_FINER = (("synictimer", "direct", "stimer-direct"), ("tlbflush", "direct", "tlbflush-direct"),
          ("tlbflush", "extended", "tlbflush-ext"))
_RETRIES = 4096  # KubeVirt's number of spins before the hypervisor is told
_DRIVERS: Mapping[Any, Any] = {"guest": "vm", "wall": "host"}
_VENDOR_ROOM = 12
_TICKS = ("delay", "discard")


def processor_flags(vmi: Object) -> tuple[tuple[str, bool | str], ...]:
    """Flags of the processor that features, clock and panic devices ask for."""
    domain: Mapping[str, Any] = get(vmi, "spec", "domain", default={})
    return (*_paravirtual(domain), *_hyperv(domain))


def _paravirtual(domain: Mapping[str, Any]) -> Iterator[tuple[str, bool | str]]:
    features: Mapping[str, Any] = domain.get("features") or {}
    if get(features, "kvm", "hidden"):
        yield "kvm", False
    has_apic = get(features, "apic", "enabled") is not False
    if has_apic and (wanted := get(features, "apic", "endOfInterrupt")) is not None:
        yield "kvm-pv-eoi", bool(wanted)
    if features.get("pvspinlock") is not None:
        yield "kvm-pv-unhalt", _is_on(features["pvspinlock"])
    if get(domain, "clock", "timer", "kvm", "present") is False:
        yield "kvmclock", False


def _is_on(feature: Any) -> bool:
    """A feature that is named is on unless it says otherwise."""
    return isinstance(feature, Mapping) and feature.get("enabled") is not False


def _hyperv(domain: Mapping[str, Any]) -> Iterator[tuple[str, bool | str]]:
    wanted: Mapping[str, Any] = get(domain, "features", "hyperv", default={})
    names = {flag for key, flag in _HYPERV.items() if _is_on(wanted.get(key))}
    names |= {flag for key, inner, flag in _FINER if _is_on(wanted.get(key)) and _is_on(get(wanted, key, inner))}
    timer = get(domain, "clock", "timer", "hyperv")
    if timer is not None and timer.get("present") is not False:
        names.add("time")
    if any(one.get("model") == "hyperv" for one in get(domain, "devices", "panicDevices", default=())):
        names.add("crash")
    names |= {needed for one in tuple(names) for needed in _NEEDS.get(one, ())}
    yield from ((f"hv-{one}", True) for one in sorted(names))
    if _is_on(wanted.get("spinlocks")):
        yield "hv-spinlocks", str(int(get(wanted, "spinlocks", "spinlocks", default=0) or _RETRIES))
    if _is_on(wanted.get("vendorid")) and (vendor := get(wanted, "vendorid", "vendorid")):
        yield "hv-vendor-id", _vendor(str(vendor))
    if _is_on(get(domain, "features", "hypervPassthrough")):
        yield "hv-passthrough", True


def _vendor(text: str) -> str:
    """QEMU splits the processor's flags at every comma: one in a value would be another flag. CPUID has 12 bytes."""
    if "," in text or not text.isascii() or not text.isprintable() or len(text) > _VENDOR_ROOM:
        where = "spec.domain.features.hyperv.vendorid.vendorid"
        why = f"{where}: {text!r} is not a vendor: at most {_VENDOR_ROOM} letters without a comma"
        raise Problem("start the machine", why, f"change {where}", "Unsupported")
    return text


def clock(vmi: Object) -> qemu.Clock:
    """The hardware clock and the timers; `zone` says in which time zone QEMU runs for it."""
    given: Mapping[str, Any] = get(vmi, "spec", "domain", "clock", default={})
    timer: Mapping[str, Any] = given.get("timer") or {}
    ticks: Any = get(timer, "pit", "tickPolicy", default="")
    return qemu.Clock(
        local=bool(zone(vmi)), driver=_DRIVERS.get(get(timer, "rtc", "track"), ""),
        slew=get(timer, "rtc", "tickPolicy") == "catchup",
        hpet=get(timer, "hpet", "present") is not False, pit=get(timer, "pit", "present") is not False,
        pit_ticks=ticks if ticks in _TICKS else "",
    )


def zone(vmi: Object) -> str:
    """The TZ of QEMU's process, empty for UTC; an offset is a zone of POSIX's, whose sign is the other way round."""
    given: Mapping[str, Any] = get(vmi, "spec", "domain", "clock", default={})
    if given.get("timezone"):
        return str(given["timezone"])
    offset = int(get(given, "utc", "offsetSeconds", default=0))
    minutes, seconds = divmod(abs(offset), 60)
    hours, minutes = divmod(minutes, 60)
    return f"VMI{'-' if offset > 0 else '+'}{hours:02}:{minutes:02}:{seconds:02}" if offset else ""


def page_bytes(vmi: Object) -> int:
    """The size of the huge pages that the guest's memory is made of, 0 for ordinary ones."""
    wanted = get(vmi, "spec", "domain", "memory", "hugepages", "pageSize")
    return quantity.to_bytes(wanted) if wanted else 0
