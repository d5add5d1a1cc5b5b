"""`vmpod status`: machines and containers side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from vmpod.base import clock
from vmpod.base.paths import Paths
from vmpod.cli import launch, session
from vmpod.cli.addresses import addresses, node_address
from vmpod.cli.ready import guest_stages
from vmpod.client.simple import SimpleClient
from vmpod.kinds import POD, SERVICE, VIRTUALMACHINE, VIRTUALMACHINEINSTANCE
from vmpod.model import conditions, meta
from vmpod.model.meta import Object, get, labels, name, namespace
from vmpod.model.selectors import from_map
from vmpod.model.table import age

_COLUMNS = ("kind", "namespace", "name", "state", "ready", "guest", "ip", "addresses", "age", "restarts")
_LAST_STAGES = 3
_SERVED = "vmpod.io/served-by"

Ways = Sequence[tuple[Object, list[str]]]  # services, each with the outside addresses where it answers


@click.command("status", short_help="what runs: machines and containers side by side")
@click.option("-n", "--namespace", "space", default="", help="Only this namespace.")
@click.option("-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table")
def command(space: str, output: str) -> None:
    """One table of virtual machines and pods: state, readiness, address, where to reach it, age and restarts."""
    runs = launch.running(Paths.of()) is not None
    rows = observed(session.connect(start=False), space, clock.now()) if runs else []
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
    elif output == "yaml":
        from vmpod.model.yaml import dump

        click.echo(dump(rows), nl=False)
    elif rows:
        click.echo(table(rows))
    else:
        click.echo("nothing runs: vmpod up PATH…" if runs else "the engine does not run: vmpod engine start")


def observed(client: SimpleClient, space: str, now: datetime) -> list[dict[str, Any]]:
    """One row for each virtual machine and each pod that is no machine's launcher."""
    seen = [client.list(kind, space).items for kind in (VIRTUALMACHINE, VIRTUALMACHINEINSTANCE, POD, SERVICE)]
    return rows_of(*seen, now=now, node=node_address(client, seen[3]))


def rows_of(machines: Sequence[Object], vmis: Sequence[Object], pods: Sequence[Object], services: Sequence[Object], *,
            now: datetime, node: str = "") -> list[dict[str, Any]]:  # fmt: skip
    """The table's rows: machines first. Pods of machines, and those that stand for the engine itself, are left out.

    `node` is the address where node ports answer.
    """
    ways = [(one, addresses(one, node)) for one in services]
    instances = {(namespace(vmi), name(vmi)): vmi for vmi in vmis}
    rows = [_machine(vm, instances.pop((namespace(vm), name(vm)), None), ways, now) for vm in machines]
    rows += [_machine(vmi, vmi, ways, now) for vmi in instances.values()]
    return rows + [_pod(pod, ways, now) for pod in pods if not _is_hidden(pod)]


def _is_hidden(pod: Object) -> bool:
    return meta.labels(pod).get("kubevirt.io") == "virt-launcher" or _SERVED in meta.annotations(pod)


def _machine(obj: Object, vmi: Object | None, services: Ways, now: datetime) -> dict[str, Any]:
    ready = conditions.is_true(get(vmi or {}, "status", "conditions", default=[]), "Ready")
    found: list[Object] = get(vmi or {}, "status", "interfaces", default=[])
    shown = get(obj, "status", "printableStatus") or get(obj, "status", "phase") or "Stopped"
    marks = labels(vmi) if vmi else get(obj, "spec", "template", "metadata", "labels", default={})
    address = found[0].get("ipAddress") if found else ""
    return _row("VirtualMachine", obj, str(shown), "1/1" if ready else "0/1", guest_stages(vmi), address,
                _reach(marks, namespace(obj), services), now, 0)  # fmt: skip


def _pod(pod: Object, services: Ways, now: datetime) -> dict[str, Any]:
    seen: list[Object] = get(pod, "status", "containerStatuses", default=[])
    total = len(get(pod, "spec", "containers", default=[]))
    ready = sum(1 for one in seen if one.get("ready"))
    return _row("Pod", pod, state(pod), f"{ready}/{total}", [], get(pod, "status", "podIP"),
                _reach(labels(pod), namespace(pod), services), now,
                sum(int(one.get("restartCount") or 0) for one in seen))  # fmt: skip


def state(pod: Object) -> str:
    """The word of kubectl's STATUS column: what a container waits for or ended with, else the phase."""
    if get(pod, "metadata", "deletionTimestamp"):
        return "Terminating"
    words = [*_words(pod, "initContainerStatuses", "Init:"), *_words(pod, "containerStatuses", "")]
    return words[0] if words else str(get(pod, "status", "reason") or get(pod, "status", "phase", default="Pending"))


def _words(pod: Object, field: str, prefix: str) -> list[str]:
    """Why containers do not run. An init container that has succeeded, or waits for its turn, is none of them."""
    found = []
    for one in get(pod, "status", field, default=[]):
        waiting, ended = get(one, "state", "waiting", "reason"), get(one, "state", "terminated") or {}
        if prefix and (waiting == "PodInitializing" or (ended and not ended.get("exitCode"))):
            continue
        if reason := waiting or ended.get("reason"):
            found.append(f"{prefix}{reason}")
    return found


def _reach(marks: dict[str, str], space: str, services: Ways) -> list[str]:
    """How the services that select these labels are reached: outside addresses, else NAME:PORT inside."""
    mine = [(one, found) for one, found in services if namespace(one) == space and get(one, "spec", "selector")
            and from_map(one["spec"]["selector"]).matches(marks)]  # fmt: skip
    inside = [f"{name(one)}:{port['port']}" for one, _ in mine for port in get(one, "spec", "ports", default=[])]
    return [url for _, found in mine for url in found] or inside


def _row(kind: str, obj: Object, state: str, ready: str, guest: list[str], ip: Any, reach: list[str], now: datetime,
         restarts: int) -> dict[str, Any]:  # fmt: skip
    values = (kind, namespace(obj), name(obj), state, ready, guest, ip or "", reach,
              age(get(obj, "metadata", "creationTimestamp"), now), restarts)  # fmt: skip
    return dict(zip(_COLUMNS, values, strict=True))


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as aligned text, the namespace only when one is not the default one; the last stages of guests."""
    dull = {"namespace"} if {row["namespace"] for row in rows} == {"default"} else set()
    dull |= set() if any(row["guest"] for row in rows) else {"guest"}
    columns = [one for one in _COLUMNS if one not in dull]
    cells = [[_cell(row[one][-_LAST_STAGES:] if one == "guest" else row[one]) for one in columns] for row in rows]
    lines = [[one.upper() for one in columns], *cells]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    return "\n".join("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
                     for line in lines)  # fmt: skip


def _cell(value: Any) -> str:
    return (", ".join(value) if isinstance(value, list) else str(value)) or "-"
