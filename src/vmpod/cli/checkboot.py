"""Start an image once on a throw-away layer, and tell how far its guest came."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click

from vmpod.base.errors import Problem
from vmpod.cli import apply, asking, bringing
from vmpod.cli.bringing import Wish
from vmpod.cli.progress import Progress
from vmpod.cli.ready import guest_stages
from vmpod.client.simple import SimpleClient
from vmpod.drivers.inspection import boottext, screens
from vmpod.intake.documents import Manifest
from vmpod.kinds import VIRTUALMACHINE, VIRTUALMACHINEINSTANCE
from vmpod.model.meta import Object, get
from vmpod.model.status import ApiError

_LOOK_EVERY_S = 0.25
_QUIET_S = 60.0
_LINGER_S = 5.0
_GOING_S = 60.0
_SCREEN_EVERY_S = 2.0
_UP = ("init", "login prompt", "agent", "tcp open", "address")
_SERVES = ("login prompt", "agent", "tcp open")
_REMEDIES = (
    ("console", "something speaks on the serial console, and no known system was recognised in it", "look at the "
     "picture, or start it and use vmpod console"),
    ("kernel", "a kernel starts, and does not reach the system: mostly it does not find its disk",
     "give the disk another bus (sata), or add its driver to the initramfs"),
    ("boot loader", "the boot loader starts, and no kernel was seen", "look at the picture; a kernel without "
     "console=ttyS0 says nothing on the serial console"),
    ("boot disk", "the firmware reads the disk, and nothing that it started has spoken", "look at the picture; a guest "
     "without console=ttyS0 says nothing on the serial console"),
    ("firmware", "the firmware does not read the disk", "try the other firmware (bootloader: efi), or another bus"),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How far a guest came: the stages as they are told, whether its system is up, and what to do when it is not."""

    stages: tuple[str, ...]
    is_up: bool
    why: str
    remedy: str = ""


@dataclass
class Screen:
    """What was read off the screen of a guest: its text now, and the seconds after which each stage was seen there."""

    text: str = ""
    seen: dict[str, float] = field(default_factory=dict)

    def show(self, png: bytes, after_s: float) -> None:
        """Read another picture."""
        try:
            self.text = screens.text(png)
        except ValueError:
            return  # no picture now
        for stage in boottext.stages(self.text.encode()):
            self.seen.setdefault(stage, after_s)

    def added(self, stages: Sequence[str]) -> list[str]:
        """The stages that the guest's instance tells, and those that only the screen shows."""
        names = {stage: boottext.WORDS[stage] for stage in self.seen}
        missing = [stage for stage, name in names.items() if not any(one.startswith(name) for one in stages)]
        more = [f"{names[stage]} {self.seen[stage]:.0f} s (screen)" for stage in missing]
        return sorted([*stages, *more], key=_seconds)


def _seconds(told: str) -> float:
    """When a stage was reached, as it is told."""
    match = re.search(r"([\d.]+) s\b", told)
    return float(match[1]) if match else 0.0


def outcome(stages: Sequence[str], phase: str, said: str = "") -> Outcome:
    """Judge the stages that were seen. `phase` is the instance's: one that Failed fell over. `said` is what the guest
    said on its screen and console: it may tell of its end."""
    told = tuple(stages)
    if (ended := boottext.failure(said.encode())) and not _serves(stages):
        return Outcome(told, False, ended.why, ended.remedy)
    if any(word in one for one in stages for word in _UP):
        return Outcome(told, True, "its system is up")
    fell = "; then its machine failed" if phase == "Failed" else ""
    for word, why, remedy in _REMEDIES:
        if any(one.startswith(word) for one in stages):
            return Outcome(told, False, why + fell, remedy)
    return Outcome(told, False, f"its machine did not run ({phase or 'no instance'})", "kubectl describe vmi")


def _serves(stages: Sequence[str]) -> bool:
    """Whether somebody could log in or ask: what was said on the way does not matter then."""
    return any(word in one for one in stages for word in _SERVES)


def is_over(stages: Sequence[str], quiet_s: float, since_s: float = 0.0) -> bool:
    """Whether nothing more is to be awaited: the application answers, the system is up and still, or all is still.
    A system that took long to come (`since_s`) has longer until it is called still."""
    if any("tcp open" in one for one in stages):
        return True
    is_up = any(word in one for one in stages for word in _UP)
    return quiet_s > (max(_LINGER_S, min(since_s / 2, _QUIET_S)) if is_up else _QUIET_S)


def trial(wish: Wish) -> Object:
    """The machine for it: what it writes goes with it, and nobody is sent to it."""
    machine = bringing.machine(wish)
    name = f"{wish.name[:50]}-check"
    machine["metadata"] |= {"name": name, "labels": {"vmpod.io/check-boot": wish.name}}
    template = machine["spec"]["template"]
    template["metadata"]["labels"] = {"vmpod.io/check-boot": wish.name}
    spec = template["spec"]
    spec.pop("readinessProbe", None)
    spec["terminationGracePeriodSeconds"] = 0
    spec["domain"]["devices"]["interfaces"][0]["ports"] = [{"port": port} for port in wish.ports]
    for volume in spec["volumes"]:
        volume["ephemeral"] = {"persistentVolumeClaim": volume.pop("persistentVolumeClaim")}
    return machine


def check(client: SimpleClient, wish: Wish, picture: Path, timeout_s: float) -> Outcome:
    """Start it, follow it, take a picture of its screen, and remove it. Raises Problem."""
    with _running(client, wish) as (space, name):
        found = _follow(client, space, name, wish.image.name, timeout_s)
        _photograph(client, space, name, picture)
        return found


def say(found: Outcome, picture: Path) -> None:
    """Print what came of it."""
    click.echo(f"boot check: {found.why}")
    click.echo(f"  {', '.join(found.stages) or 'nothing was seen'}")
    if picture.exists():
        click.echo(f"  {picture} shows its screen")
    if found.remedy:
        click.echo(f"  {found.remedy}")


@contextmanager
def _running(client: SimpleClient, wish: Wish) -> Iterator[tuple[str, str]]:
    (wanted,) = apply.resolve([Manifest(trial(wish), str(wish.image))], wish.namespace)
    space, name = wanted.obj["metadata"]["namespace"], wanted.obj["metadata"]["name"]
    if client.find(VIRTUALMACHINE, space, name) is not None:
        why = f"there is a machine called {name}"
        raise Problem(f"start {wish.image.name}", why, f"kubectl delete vm {name} -n {space}", "Exists")
    try:
        apply.apply(client, wanted)
        yield space, name
    finally:
        _remove(client, space, name)


def _remove(client: SimpleClient, space: str, name: str) -> None:
    try:
        client.delete(VIRTUALMACHINE, space, name)
        deadline = time.monotonic() + _GOING_S
        while client.find(VIRTUALMACHINEINSTANCE, space, name) is not None and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)
    except (ApiError, Problem) as error:
        click.echo(f"the machine {name} could not be removed: {error}", err=True)


def _follow(client: SimpleClient, space: str, name: str, title: str, timeout_s: float) -> Outcome:
    began = news = looked = time.monotonic()
    stages: list[str] = []
    screen, phase = Screen(), ""
    with Progress() as progress:
        while time.monotonic() - began < timeout_s and phase not in ("Failed", "Succeeded"):
            vmi = client.find(VIRTUALMACHINEINSTANCE, space, name)
            phase = str(get(vmi, "status", "phase", default="")) if vmi else ""
            if phase == "Running" and time.monotonic() - looked > _SCREEN_EVERY_S:
                looked = time.monotonic()
                screen.show(_screenshot(client, space, name), looked - began)
            seen = screen.added(guest_stages(vmi))
            if len(seen) > len(stages):
                stages, news = seen, time.monotonic()
            progress.show({f"boot {title}": ", ".join(stages) or f"its machine is {phase or 'being made'}"})
            has_ended = boottext.failure(screen.text.encode()) and not _serves(stages)
            if has_ended or is_over(stages, time.monotonic() - news, news - began):
                break
            time.sleep(_LOOK_EVERY_S)
        return outcome(stages, phase, f"{screen.text}\n{_console(client, space, name)}")


def _console(client: SimpleClient, space: str, name: str) -> str:
    """What the guest said on its serial console so far: the log of its launcher."""
    query = {"labelSelector": f"vm.kubevirt.io/name={name}"}
    pods = f"/api/v1/namespaces/{space}/pods"
    try:
        found = json.loads(client.raw("GET", pods, query=query).body)["items"]
        logs = [client.raw("GET", f"{pods}/{pod['metadata']['name']}/log", query={"tailLines": "200"}) for pod in found]
    except (ApiError, Problem, OSError, ValueError):
        return ""  # a machine that is gone says nothing
    return "\n".join(log.body.decode(errors="replace") for log in logs)


def _screenshot(client: SimpleClient, space: str, name: str) -> bytes:
    """A picture of the screen; empty when there is none: a machine that is gone, or not there yet, has no screen."""
    try:
        return bytes(asking.ask(client, "GET", name, space, "vnc/screenshot", query={"moveCursor": "false"}).body)
    except (ApiError, Problem, OSError):
        return b""


def _photograph(client: SimpleClient, space: str, name: str, picture: Path) -> None:
    """Keep the last picture."""
    if png := _screenshot(client, space, name):
        picture.write_bytes(png)
    else:
        picture.unlink(missing_ok=True)
