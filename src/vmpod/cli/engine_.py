"""`vmpod engine start | stop | status | logs | run`."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from vmpod.base import log, proc
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.base.settings import IP_FAMILIES, Settings
from vmpod.cli import launch


@click.group("engine", short_help="start, stop, status, logs")
def command() -> None:
    """The engine: one process for each home. Any command that needs it starts it."""


@command.command()
@click.option("--egress", type=click.Choice(["on", "off"]), help="Let pods and machines reach the outside.")
@click.option("--ip-families", type=click.Choice(IP_FAMILIES),
              help="The families of addresses that pods and Services have.")  # fmt: skip
@click.option("--strict-scheduling/--no-strict-scheduling", default=None,
              help="Leave a pod pending when it asks for a label key that no node carries.")  # fmt: skip
@click.option("--node-label", "labels", multiple=True, metavar="KEY=VALUE", help="A label of the node; repeatable.")
@click.option("--nodes", type=click.IntRange(1, 9), help="How many nodes this machine stands for.")
@click.option("--listen", metavar="ADDRESS", help="Where the API listens; loopback only unless told otherwise.")
@click.option("--port", type=click.IntRange(0, 65535), help="The API's port; 0 chooses a free one and keeps it.")
def start(egress: str | None, ip_families: str | None, strict_scheduling: bool | None, labels: tuple[str, ...],
          nodes: int | None, listen: str | None, port: int | None) -> None:  # fmt: skip
    """Start the engine of this home, with settings that it keeps."""
    paths = Paths.of()
    given = (egress, ip_families, strict_scheduling, labels, nodes, listen, port)
    if (engine := launch.running(paths)) is not None and _wants(*given):
        raise Problem("start the engine", f"it runs already (pid {engine.pid}) with its present settings",
                      "vmpod engine stop, then start it with the new ones", "Running")  # fmt: skip
    before = Settings.load(paths)
    settings = before.changed(
        egress=None if egress is None else egress == "on", ip_families=ip_families,
        strict_scheduling=strict_scheduling, node_labels=_labels(labels) if labels else None, nodes=nodes,
        listen=listen, port=port,
    )  # fmt: skip
    if engine is None:
        settings.save(paths)
    try:
        started = launch.ensure(paths)
    except Problem:
        if nodes is not None:  # a node that is still in use: what worked before shall work again
            settings.changed(nodes=before.nodes).save(paths)
        raise
    click.echo(f"engine running, pid {started.pid}; KUBECONFIG={paths.kubeconfig}")


def _wants(*given: Any) -> bool:
    return any(value not in (None, ()) for value in given)


def _labels(pairs: tuple[str, ...]) -> dict[str, str]:
    found = [pair.partition("=") for pair in pairs]
    wrong = [key for key, equals, _ in found if not (key and equals)]
    if wrong:
        raise Problem("label the node", f"{wrong[0]!r} is not KEY=VALUE", "vmpod engine start --node-label zone=a")
    return {key: value for key, _, value in found}


@command.command()
@click.option("--purge", is_flag=True, help="Also remove all it runs and all its data: nothing of the home is left.")
def stop(purge: bool) -> None:
    """Stop the engine. Machines and containers go on running; the next start finds them."""
    paths = Paths.of()
    was_running = launch.stop(paths)
    if purge:
        import asyncio

        from vmpod import daemon

        found = asyncio.run(daemon.purge(paths))
        click.echo(f"removed {paths.home} and all that ran in it" if found else f"there is nothing of {paths.home}")
        return
    click.echo("engine stopped" if was_running else "no engine was running")


@command.command()
@click.option("-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table")
def status(output: str) -> None:
    """The engine and its helper processes, with their resident memory. Exit code 3 when it does not run."""
    paths = Paths.of()
    seen = observed(paths)
    if output == "json":
        click.echo(json.dumps(seen, indent=2))
    elif output == "yaml":
        from vmpod.model.yaml import dump

        click.echo(dump(seen), nl=False)
    else:
        _print(seen)
    if not seen["running"]:
        sys.exit(3)


def observed(paths: Paths) -> dict[str, Any]:
    """What pid files and /proc tell of a home: works with a dead engine too. Memory in bytes."""
    files = {"engine": paths.engine_pid, "resolver": paths.network / "resolver.pid", "podman": paths.podman_pid}
    found = [(name, proc.read_pid_file(file)) for name, file in files.items()]
    processes = [{"name": name, "pid": one.pid, "rssBytes": proc.rss_bytes(one.pid)} for name, one in found if one]
    engine = found[0][1]
    return {
        "running": engine is not None,
        "pid": engine.pid if engine else None,
        "home": str(paths.home),
        "id": paths.id,
        "kubeconfig": str(paths.kubeconfig),
        "processes": processes,
        "rssBytes": sum(int(str(one["rssBytes"])) for one in processes),
    }


def _print(seen: dict[str, Any]) -> None:
    click.echo(f"engine      {'running, pid ' + str(seen['pid']) if seen['running'] else 'not running'}")
    click.echo(f"home        {seen['home']} (id {seen['id']})")
    click.echo(f"kubeconfig  {seen['kubeconfig']}")
    for one in seen["processes"]:
        click.echo(f"  {one['name']:<10}pid {one['pid']:<8}{one['rssBytes'] / 2**20:6.1f} MiB")


@command.command()
@click.option("-f", "--follow", is_flag=True, help="Go on as lines are written.")
@click.option("--tail", type=int, default=200, show_default=True, help="How many lines of the end; -1 for all.")
def logs(follow: bool, tail: int) -> None:
    """What the engine said."""
    paths = Paths.of()
    if not paths.engine_log.exists():
        raise Problem("show the engine's log", "no engine has run in this home", "vmpod engine start")
    with paths.engine_log.open(errors="replace") as file:
        lines = file.readlines()
        click.echo("".join(lines if tail < 0 else lines[-tail:] if tail else []), nl=False)
        while follow:
            if text := file.read():
                click.echo(text, nl=False)
            time.sleep(0.2)


@command.command()
@click.pass_context
def run(ctx: click.Context) -> None:
    """Run the engine in the foreground, until a signal ends it."""
    from vmpod import daemon

    root = ctx.find_root().obj or {}
    log.start(debug=bool(root.get("debug")))
    daemon.main(Paths.of(), Settings.load(Paths.of()))
