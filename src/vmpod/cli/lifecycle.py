"""Start, stop and restart machines, and wait until they have done so."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click

from vmpod.base.errors import Problem
from vmpod.cli import machine, session
from vmpod.cli.progress import Progress
from vmpod.cli.ready import Verdict, running_machine
from vmpod.cli.reasons import Reasons
from vmpod.client.simple import SimpleClient
from vmpod.kinds import VIRTUALMACHINE, VIRTUALMACHINEINSTANCE
from vmpod.model.meta import Object, get, uid
from vmpod.model.status import ApiError

_LOOK_EVERY_S = 0.25


@dataclass(frozen=True)
class Seen:
    """A machine and its instance; `before` is the uid of the instance that ran when the verb began."""

    vm: Object
    vmi: Object | None
    before: str


Judge = Callable[[Seen], Verdict]


def has_started(seen: Seen) -> Verdict:
    """Whether it runs and is ready."""
    return running_machine(seen.vm)


def has_stopped(seen: Seen) -> Verdict:
    """Whether its instance is gone, or another one has come."""
    if seen.vmi is None or get(seen.vmi, "status", "phase") in ("Succeeded", "Failed") or uid(seen.vmi) != seen.before:
        return Verdict()
    return Verdict("the guest is shutting down")


def has_restarted(seen: Seen) -> Verdict:
    """Whether another instance than before runs and is ready."""
    if seen.vmi is not None and uid(seen.vmi) == seen.before:
        return Verdict("the guest is shutting down")
    return Verdict("waits for its new instance") if seen.vmi is None else running_machine(seen.vm)


def tell(verb: str, names: Sequence[str], space: str, body: Object, judge: Judge, *, wait: bool, timeout_s: float,
         harmless: Sequence[str] = ()) -> None:  # fmt: skip
    """Say a verb to machines, all at once, then wait for each. Raises Problem.

    A refusal that contains one of `harmless` means that it is so already.
    """
    client = session.connect()
    before: dict[str, str] = {}
    for vm in map(machine.bare, names):
        found = client.find(VIRTUALMACHINEINSTANCE, space, vm)
        if _say(client, verb, vm, space, body, harmless):
            before[vm] = uid(found) if found else ""
    if wait and before:
        _wait(client, verb, space, before, judge, timeout_s)


def _say(client: SimpleClient, verb: str, vm: str, space: str, body: Object, harmless: Sequence[str]) -> bool:
    try:
        client.raw("PUT", machine.path(space, vm, verb, instance=False), body=json.dumps(body).encode())
    except ApiError as error:
        if error.code == 404:
            raise machine.missing(client, f"{verb} {vm}", space, vm) from None
        if error.code != 409 or not any(text in error.message for text in harmless):
            raise Problem(f"{verb} {vm}", error.message, "vmpod status", error.reason) from None
        click.echo(f"{vm}: {error.message.rpartition(': ')[2]}")
        return False
    click.echo(f"{vm}: {verb} requested")
    return True


def _wait(client: SimpleClient, verb: str, space: str, before: dict[str, str], judge: Judge, timeout_s: float) -> None:
    begin = time.monotonic()
    reasons = Reasons(client)
    with Progress() as progress:
        while True:
            seen = {vm: _look(client, space, vm, was, judge) for vm, was in before.items()}
            left = {vm: one for vm, one in seen.items() if not one.is_ready}
            late = time.monotonic() - begin
            why = {vm: reasons.of(VIRTUALMACHINE, space, vm) if late > 2 else "" for vm in left}
            progress.show({vm: _words(one, why.get(vm, "")) for vm, one in seen.items()})
            if not left:
                return
            if late > timeout_s or any(one.hopeless for one in left.values()):
                raise _stuck(verb, space, {vm: _words(one, why[vm]) for vm, one in left.items()}, timeout_s)
            time.sleep(_LOOK_EVERY_S)


def _words(seen: Verdict, why: str) -> str:
    return f"{seen.why} ({why})" if why and seen.why else seen.why


def _stuck(verb: str, space: str, left: dict[str, str], timeout_s: float) -> Problem:
    why = "; ".join(f"{vm}: {words}" for vm, words in left.items())
    fix = f"kubectl describe vm {next(iter(left))} -n {space}"
    return Problem(f"{verb} {', '.join(left)}", f"not done after {timeout_s:g} s: {why}", fix, "Timeout")


def _look(client: SimpleClient, space: str, vm: str, before: str, judge: Judge) -> Verdict:
    found = client.find(VIRTUALMACHINE, space, vm)
    if found is None:
        return Verdict("it was deleted", True)
    return judge(Seen(found, client.find(VIRTUALMACHINEINSTANCE, space, vm), before))
