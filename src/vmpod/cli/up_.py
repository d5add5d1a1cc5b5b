"""`vmpod up`: apply, then wait until all of it is ready, telling what is waited for and why."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from vmpod.base.errors import Problem
from vmpod.cli import apply, session
from vmpod.cli.addresses import addresses, node_address
from vmpod.cli.apply import Wanted
from vmpod.cli.progress import Progress
from vmpod.cli.ready import Verdict, has_life, stale, verdict
from vmpod.cli.reasons import Reasons
from vmpod.client.simple import SimpleClient
from vmpod.intake import manifests
from vmpod.kinds import SERVICE, VIRTUALMACHINE
from vmpod.model.meta import name, namespace

_LOOK_EVERY_S = 0.2
_WORTH_TELLING_S = 2.0


@click.command("up", short_help="apply manifests and wait until all is ready")
@click.argument("paths", nargs=-1, metavar="[PATH]…", type=click.Path(allow_dash=True))
@click.option("-n", "--namespace", "into", default="default", show_default=True, help="For objects that name none.")
@click.option("-d", "--detach", is_flag=True, help="Do not wait until all is ready.")
@click.option("--timeout", type=float, default=600.0, show_default=True, help="Seconds to wait.")
def command(paths: tuple[str, ...], into: str, detach: bool, timeout: float) -> None:
    """Apply manifests (files, folders, kustomizations, - for standard input; default: this folder) and wait until
    every object is ready. Nothing is written unless all of it is acceptable."""
    wanted = apply.resolve(manifests.read(paths or (".",)), into)
    client = session.connect()
    for text in apply.check(client, wanted):
        click.echo(f"warning: {text}", err=True)
    try:
        for one in wanted:
            click.echo(f"{one.title} {apply.apply(client, one)}")
        if not detach:
            wait(client, wanted, timeout)
            show_stale(client, wanted)
            show_addresses(client, wanted)
    except Problem as problem:
        raise _explained(problem) from None
    except KeyboardInterrupt:
        click.echo("interrupted: what was applied stays and goes on (vmpod status; vmpod down removes it)", err=True)
        raise


def _explained(problem: Problem) -> Problem:
    """An engine that went away in the middle: nothing is lost, and saying it again goes on from there."""
    if problem.reason != "Unreachable":
        return problem
    why = f"the engine ended meanwhile ({problem.why})"
    fix = "vmpod up again with the same paths: what was applied is kept   (vmpod engine logs tells why it ended)"
    return Problem("bring everything up", why, fix, "Unreachable")


def wait(client: SimpleClient, wanted: Sequence[Wanted], timeout_s: float) -> None:
    """Wait until all objects are ready. Raises Problem that tells what is not, and why."""
    begin, reasons = time.monotonic(), Reasons(client)
    living = [one for one in wanted if has_life(one.kind.kind) and name(one.obj)]
    with Progress() as progress:
        while living:
            seen = [(one, _look(client, one)) for one in living]
            late = time.monotonic() - begin
            told = {one.title: _words(one, it, reasons if late > _WORTH_TELLING_S else None) for one, it in seen}
            progress.show(told)
            missing = [(one, it) for one, it in seen if not it.is_ready]
            if not missing:
                return
            if any(it.hopeless for _, it in missing) or late > timeout_s:
                raise _stuck(missing, reasons, timeout_s)
            time.sleep(_LOOK_EVERY_S)


def _look(client: SimpleClient, one: Wanted) -> Verdict:
    found = client.find(one.kind, namespace(one.obj), name(one.obj))
    return Verdict("it was deleted", True) if found is None else verdict(found)


def _words(one: Wanted, seen: Verdict, reasons: Reasons | None) -> str:
    why = reasons.of(one.kind, namespace(one.obj), name(one.obj)) if seen.why and reasons else ""
    return f"{seen.why} ({why})" if why and why not in seen.why else seen.why


def _stuck(missing: Sequence[tuple[Wanted, Verdict]], reasons: Reasons, timeout_s: float) -> Problem:
    lines = [f"{one.title}: {_words(one, seen, reasons)}" for one, seen in missing]
    worst = next((one for one, seen in missing if seen.hopeless), None)
    why = "it failed" if worst else f"not ready after {timeout_s:g} s"
    fix = f"kubectl describe {(worst or missing[0][0]).title}"
    return Problem("bring everything up", f"{why}:\n  " + "\n  ".join(lines), fix, "NotReady")


def show_stale(client: SimpleClient, wanted: Sequence[Wanted]) -> None:
    """Tell of machines that are ready, but run with what their manifests said before."""
    for one in wanted:
        if one.kind is VIRTUALMACHINE and (text := stale(client.get(one.kind, namespace(one.obj), name(one.obj)))):
            click.echo(f"{one.title}: {text}", err=True)


def show_addresses(client: SimpleClient, wanted: Sequence[Wanted]) -> None:
    """Where the services answer that are reached from outside."""
    for one in wanted:
        if one.kind is SERVICE:
            found = client.get(SERVICE, namespace(one.obj), name(one.obj))
            for url in addresses(found, node_address(client, [found])):
                click.echo(f"{one.title} at {url}")
