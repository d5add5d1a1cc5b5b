"""How far a guest has come since its machine was switched on, from what can be seen without asking it. Pure.

The sources are independent of each other: the serial console, the reads of its disks, its DHCP lease, the guest
agent's port, a TCP port that accepts. What one of them does not show, another may.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from vmpod.drivers.inspection import boottext
from vmpod.model import conditions
from vmpod.model.meta import Object, get, labels
from vmpod.model.selectors import from_map

CONDITION = "vmpod.io/GuestStage"
FIRMWARE, DISK = "Firmware", "BootDisk"
CONSOLE, ADDRESS, AGENT, PORT = "Console", "Address", "Agent", "Port"
RESUMED = "Resumed"
AFTER_DISK = boottext.STAGES
_BOOT = (FIRMWARE, DISK, *AFTER_DISK)  # in the order in which they come
_WORDS = {
    FIRMWARE: "firmware", DISK: "boot disk", **boottext.WORDS,
    CONSOLE: "console", ADDRESS: "address", AGENT: "agent", RESUMED: "memory",
}
_MOST_PORTS = 8


@dataclass(frozen=True)
class Stage:
    """One that was reached, so many seconds after the machine was switched on. `detail` names a port."""

    name: str
    after_s: float
    detail: str = ""


@dataclass(frozen=True)
class Look:
    """What was seen since the last look. Moments are seconds since 1970."""

    now: float
    console: bytes = b""
    has_read_disk: bool = False
    leased_at: float = 0.0
    has_agent: bool = False
    port: int = 0


@dataclass(frozen=True)
class Progress:
    """The stages in the order in which they were seen, and when the machine was switched on; 0: it is off."""

    since: float = 0.0
    stages: tuple[Stage, ...] = ()

    def has(self, *names: str) -> bool:
        return any(one.name in names for one in self.stages)


OFF = Progress()


def switched_on(now: float) -> Progress:
    return Progress(now, (Stage(FIRMWARE, 0.0),))


def resumed(now: float) -> Progress:
    """A guest that goes on with its memory has booted long ago."""
    return Progress(now, (Stage(RESUMED, 0.0),))


def advance(known: Progress, look: Look) -> Progress:
    """The progress with what was seen now. A stage of the boot is not seen any more once a later one was."""
    found: list[Stage] = []
    late = max((_BOOT.index(one.name) for one in known.stages if one.name in _BOOT), default=0)
    for name in () if known.has(RESUMED) else _boot_stages(look):
        if _BOOT.index(name) > late:
            late = _BOOT.index(name)
            found.append(Stage(name, look.now - known.since))
    for name, moment, detail in _other_stages(known, look):
        if moment and not known.has(name):
            found.append(Stage(name, max(0.0, moment - known.since), detail))
    found.sort(key=lambda one: one.after_s)
    return replace(known, stages=(*known.stages, *found)) if found else known


def _boot_stages(look: Look) -> Iterable[str]:
    if look.has_read_disk:
        yield DISK
    yield from boottext.stages(look.console)


def _other_stages(known: Progress, look: Look) -> Iterable[tuple[str, float, str]]:
    is_known = known.has(*AFTER_DISK, RESUMED) or any(one != DISK for one in _boot_stages(look))
    yield CONSOLE, look.now if look.console and not is_known else 0.0, ""
    yield ADDRESS, look.leased_at if look.leased_at >= known.since else 0.0, ""
    yield AGENT, look.now if look.has_agent else 0.0, ""
    yield PORT, look.now if look.port else 0.0, str(look.port)


def is_done(known: Progress, *, has_ports: bool) -> bool:
    """Whether there is nothing more to see that matters."""
    return known.has(PORT if has_ports else AGENT) and known.has(AGENT, boottext.INIT, boottext.LOGIN, RESUMED)


def words(known: Progress) -> str:
    """`firmware 0 s, kernel 1.2 s, init 8 s, agent 12 s, 22/tcp open 13 s`."""
    return ", ".join(f"{_name(one)} {_seconds(one.after_s)} s" for one in known.stages)


def _name(one: Stage) -> str:
    return f"{one.detail}/tcp open" if one.name == PORT else _WORDS[one.name]


def _seconds(after_s: float) -> str:
    return f"{after_s:.0f}" if after_s >= 10 else f"{after_s:.1f}".removesuffix(".0")


def tell(old: list[Object], known: Progress) -> list[Object]:
    """The condition: its reason is the last stage, its time that stage's, its message all of them."""
    kept = conditions.without(old, CONDITION)
    if not known.stages:
        return kept
    last = known.stages[-1]
    moment = datetime.fromtimestamp(known.since + last.after_s, UTC)
    return conditions.set_condition(kept, CONDITION, True, last.name, words(known), moment)


def ports(vmi: Object, services: Iterable[Object]) -> tuple[int, ...]:
    """The TCP ports that somebody says the guest listens on: its probes, its cards, the services that select it."""
    spec: Object = get(vmi, "spec", default={})
    cards = get(spec, "domain", "devices", "interfaces", default=())
    listed = [port for card in cards for port in card.get("ports") or ()]
    named = {str(one["name"]): int(one["port"]) for one in listed if one.get("name")}
    found = [_number(get(spec, probe, way, "port"), named) for probe in ("readinessProbe", "livenessProbe")
             for way in ("tcpSocket", "httpGet")]  # fmt: skip
    found += [int(one["port"]) for one in listed if one.get("protocol", "TCP") == "TCP"]
    for service in services:
        selector = get(service, "spec", "selector")
        if selector and from_map(selector).matches(labels(vmi)):
            found += [_number(one.get("targetPort") or one.get("port"), named) for one in _tcp_ports(service)]
    return tuple(dict.fromkeys(one for one in found if one))[:_MOST_PORTS]


def _tcp_ports(service: Object) -> list[Object]:
    return [one for one in get(service, "spec", "ports", default=()) if one.get("protocol", "TCP") == "TCP"]


def _number(port: object, named: Mapping[str, int]) -> int:
    """A port by number or by name; 0 when there is none of that name."""
    text = str(port)
    return int(text) if text.isdecimal() else named.get(text, 0)
