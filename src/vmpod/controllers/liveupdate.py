"""What of a changed template reaches the running instance, and what waits for a restart (KubeVirt's LiveUpdate).

Live are: CPU sockets up to maxSockets, guest memory up to maxGuest, nodeSelector, affinity, tolerations, hotpluggable
volumes, the link state of network cards, and cards on further networks that come or go.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from vmpod.controllers.revisions import GENERATION, generation
from vmpod.kinds.parts import card_hotplug
from vmpod.kinds.parts.hotplug import plug_faults, steady
from vmpod.kinds.parts.kubevirt_config import cpu_ratio, is_staged
from vmpod.kinds.parts.machine_hotplug import memory_fault
from vmpod.kinds.parts.migration import is_migrating
from vmpod.model import conditions, quantity
from vmpod.model.meta import Object, get, is_deleting
from vmpod.model.meta import annotations as annotations_of

CPU_CHANGE, MEMORY_CHANGE = "HotVCPUChange", "HotMemoryChange"
CHANGED = "a non-live-updatable field was changed in the template spec"
_PLACEMENT = ("nodeSelector", "affinity", "tolerations")
_NO_MEMORY = "memory updated in template spec. Memory-hotplug "


def restart_reason(vm: Object, vmi: Object, started: Object | None, config: Object | None = None) -> str:
    """Why the machine must be restarted before its template is true; empty when it need not be.

    `config` is the KubeVirt object's: with the rollout strategy Stage nothing but volumes changes live.
    """
    wanted = get(vm, "spec", "template", "spec", default={})
    running = vmi.get("spec") or {}
    if started is not None and is_staged(config or {}):
        return "" if steady(get(started, "spec", default={})) == steady(wanted) else CHANGED
    if started is not None and not _is_live(get(started, "spec", default={}), wanted, running):
        return CHANGED
    for volume, fault in plug_faults(vmi.get("spec") or {}, wanted).items():
        return f"volume {volume}: {fault}"
    return _cpu_reason(wanted, vmi) or _memory_reason(wanted, vmi)


def _is_live(started: Object, wanted: Object, running: Object) -> bool:
    """Whether two specs differ in nothing but what can change live."""
    if started == wanted:
        return True
    before = deepcopy(card_hotplug.without_moving(started, running, started, wanted))
    wanted = card_hotplug.without_moving(wanted, running, started, wanted)
    for key in _PLACEMENT:
        before.pop(key, None)
        if key in wanted:
            before[key] = wanted[key]
    _copy_links(before, wanted)
    _copy(before, wanted, "cpu", "sockets")
    _copy(before, wanted, "memory", "guest")
    return bool(steady(before) == steady(wanted))


def _copy(before: Object, wanted: Object, part: str, key: str) -> None:
    """Takes over a live field where both sides have its parent."""
    old, new = get(before, "domain", part), get(wanted, "domain", part)
    if isinstance(old, dict) and isinstance(new, dict) and new.get(key):
        old[key] = new[key]


def _copy_links(before: Object, wanted: Object) -> None:
    """Takes over the state of each card that both have; one that is absent on either side is not plugged live."""
    cards = {one["name"]: one.get("state") for one in get(wanted, "domain", "devices", "interfaces", default=())}
    for one in get(before, "domain", "devices", "interfaces", default=()):
        state = cards.get(one["name"], "absent")
        if "absent" in (state, one.get("state")):
            continue
        one.pop("state", None)
        if state:
            one["state"] = state


def _sockets(spec: Object) -> int:
    """Sockets that a spec names; 0 when it leaves them to the defaults."""
    return int(get(spec, "domain", "cpu", "sockets", default=0))


def _cpu_reason(wanted: Object, vmi: Object) -> str:
    asked, held = _sockets(wanted), _sockets(vmi.get("spec") or {})
    if _has_failed(vmi, CPU_CHANGE):
        return f"CPU hotplug failed: {_message(vmi, CPU_CHANGE)}"
    if asked in (0, held):
        return ""
    if asked > int(get(vmi, "spec", "domain", "cpu", "maxSockets", default=0)):
        return "CPU sockets updated in template spec to a value higher than what's available"
    if asked < held:
        return "Reduction of CPU socket count requires a restart"
    if get(vmi, "spec", "domain", "features", "acpi", "enabled") is False:
        return "CPU hotplug needs ACPI"
    return _limit_reason(vmi, "cpu")


def _limit_reason(vmi: Object, name: str) -> str:
    """A limit is one of the launcher's container, which is made once."""
    if get(vmi, "spec", "domain", "resources", "limits", name) is None:
        return ""
    return f"resources.limits.{name} of a running machine does not change"


def _memory_reason(wanted: Object, vmi: Object) -> str:
    asked, held = _bytes(wanted, "guest"), _bytes(vmi.get("spec") or {}, "guest")
    if _has_failed(vmi, MEMORY_CHANGE):
        return f"{_NO_MEMORY}failed and is not available for this VM configuration"
    if not asked or asked == held:
        return ""
    most = get(vmi, "spec", "domain", "memory", "maxGuest")
    if most is None:
        return f"{_NO_MEMORY}is not available for this VM configuration"
    if asked > quantity.to_bytes(most):
        return "memory updated in template spec to a value higher than what's available"
    if fault := memory_fault(_domain_for(wanted, vmi), most):
        return f"memory hotplug not supported, {fault}"
    boot = get(vmi, "status", "memory", "guestAtBoot")
    if boot is not None and asked < quantity.to_bytes(boot):
        return "memory updated in template spec to a value lower than what the VM started with"
    return _limit_reason(vmi, "memory")


def _domain_for(wanted: Object, vmi: Object) -> Object:
    """The instance's spec with the memory that the template asks for."""
    spec = deepcopy(vmi.get("spec") or {})
    spec["domain"]["memory"]["guest"] = get(wanted, "domain", "memory", "guest")
    return spec


def _bytes(spec: Object, key: str) -> int:
    found = get(spec, "domain", "memory", key)
    return quantity.to_bytes(found) if found is not None else 0


def _has_failed(vmi: Object, type: str) -> bool:
    found = conditions.find(get(vmi, "status", "conditions"), type) or {}
    return found.get("status") == "False"


def _message(vmi: Object, type: str) -> str:
    return str((conditions.find(get(vmi, "status", "conditions"), type) or {}).get("message", ""))


def updated(vm: Object, vmi: Object, started: Object | None, config: Object | None = None) -> Object | None:
    """The instance with its live fields as the template has them, marked with the generation it is true to.

    None when it is so already.
    """
    if is_deleting(vmi):
        return None
    spec = _updated_spec(vm, vmi, cpu_ratio(config or {})) if not restart_reason(vm, vmi, started, config) else None
    marks, number = annotations_of(vmi), str(generation(vm))
    if started == get(vm, "spec", "template") and marks.get(GENERATION) != number:
        marks = {**marks, GENERATION: number}
    if spec is None and marks == annotations_of(vmi):
        return None
    return {**vmi, "spec": spec or vmi["spec"], "metadata": {**vmi["metadata"], "annotations": marks}}


def _updated_spec(vm: Object, vmi: Object, ratio: int) -> Object | None:
    """The instance's spec with what changes live; None when there is nothing, or when something is under way."""
    if get(vmi, "status", "phase") in ("Succeeded", "Failed") or is_migrating(vmi):
        return None
    wanted, spec = get(vm, "spec", "template", "spec", default={}), deepcopy(vmi.get("spec") or {})
    spec = _with_cards(spec, wanted, vmi)
    for key in _PLACEMENT:
        spec.pop(key, None)
        if wanted.get(key):
            spec[key] = deepcopy(wanted[key])
    _copy_links(spec, wanted)
    if not _is_under_way(vmi, CPU_CHANGE):
        _update_sockets(spec, wanted, ratio)
    if not _is_under_way(vmi, MEMORY_CHANGE):
        _update_memory(spec, wanted)
    return spec if _bare(spec) != _bare(vmi.get("spec") or {}) else None


def _with_cards(spec: Object, wanted: Object, vmi: Object) -> Object:
    """Cards on further networks come and go; one that is gone is forgotten."""
    spec = card_hotplug.plugged(spec, wanted)
    return card_hotplug.without(spec, _departed(spec, vmi))


def _departed(spec: Object, vmi: Object) -> frozenset[str]:
    """The absent cards of a spec that the running machine has not any more."""
    if get(vmi, "status", "phase") != "Running" or is_migrating(vmi):
        return frozenset()
    return card_hotplug.departed(spec, {one.get("name") for one in get(vmi, "status", "interfaces", default=())})


def tidied(vm: Object, vmi: Object) -> Object | None:
    """The machine without the absent cards of its template that are gone from its guest, as KubeVirt leaves it; None
    when there are none. The instance forgets them first."""
    spec = get(vm, "spec", "template", "spec", default={})
    gone = _departed(spec, vmi) - set(card_hotplug.pluggable(vmi.get("spec") or {}))
    if not gone:
        return None
    template = {**vm["spec"]["template"], "spec": card_hotplug.without(spec, gone)}
    return {**vm, "spec": {**vm["spec"], "template": template}}


def _bare(spec: Object) -> Object:
    return {key: value for key, value in spec.items() if key not in _PLACEMENT or value}


def _is_under_way(vmi: Object, type: str) -> bool:
    return conditions.is_true(get(vmi, "status", "conditions"), type)


def _update_sockets(spec: Object, wanted: Object, ratio: int) -> None:
    asked, held, cpu = _sockets(wanted), _sockets(spec), get(spec, "domain", "cpu", default={})
    if asked in (0, held):
        return
    more = (asked - held) * int(cpu.get("cores") or 1) * int(cpu.get("threads") or 1)
    spec["domain"]["cpu"]["sockets"] = asked
    requests = get(spec, "domain", "resources", "requests", default={})
    if get(wanted, "domain", "resources", "requests", "cpu") is not None and "cpu" in requests:
        requests["cpu"] = quantity.format_milli(quantity.to_milli(requests["cpu"]) + more * 1000 // ratio)


def _update_memory(spec: Object, wanted: Object) -> None:
    asked, held = _bytes(wanted, "guest"), _bytes(spec, "guest")
    if not asked or asked == held:
        return
    spec["domain"]["memory"]["guest"] = get(wanted, "domain", "memory", "guest")
    requests: dict[str, Any] = get(spec, "domain", "resources", "requests", default={})
    if "memory" in requests:
        requests["memory"] = quantity.format_bytes(max(asked, quantity.to_bytes(requests["memory"]) + asked - held))
