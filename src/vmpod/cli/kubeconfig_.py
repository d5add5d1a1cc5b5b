"""`vmpod kubeconfig`: print the home's kubeconfig, or put it among yours."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from vmpod.base.errors import Problem

_DEFAULT = "default"  # what --merge and --remove say when no file is named


@click.command("kubeconfig", short_help="print the kubeconfig, or merge it into yours")
@click.option("--merge", is_flag=False, flag_value=_DEFAULT, metavar="[FILE]",
              help="Put it into a file and make it current; default: yours (KUBECONFIG, ~/.kube/config).")  # fmt: skip
@click.option("--remove", is_flag=False, flag_value=_DEFAULT, metavar="[FILE]", help="Take it out again.")
@click.option("--context", default="vmpod", show_default=True, help="The name that it has, or gets, in that file.")
@click.option("-o", "--output", type=click.Choice(["yaml", "json", "path"]), default="yaml")
def command(merge: str | None, remove: str | None, context: str, output: str) -> None:
    """Print the kubeconfig of this home's engine, or merge it into another file, or remove it from there."""
    if merge and remove:
        raise click.UsageError("--merge or --remove, not both")
    if remove:
        _remove(_file(remove), context)
    elif merge:
        _merge(_file(merge), context)
    else:
        _print(output, context)


def _print(output: str, context: str) -> None:
    from vmpod.client import kubeconfig

    path = _own()
    if output == "path":
        click.echo(path)
        return
    config = renamed(kubeconfig.read(path), context)
    click.echo(json.dumps(config, indent=2) if output == "json" else kubeconfig.render(config), nl=output == "json")


def _own() -> Path:
    """The home's own file, which the engine writes when it starts."""
    from vmpod.base.paths import Paths
    from vmpod.cli import session

    session.connect()
    return Paths.of().kubeconfig


def _merge(target: Path, context: str) -> None:
    from vmpod.client import kubeconfig

    own = _own()
    if target.resolve() == own.resolve():
        fix = "vmpod kubeconfig --merge ~/.kube/config"
        raise Problem(f"merge into {target}", "it is the home's own kubeconfig", fix)
    try:
        kubeconfig.merge_into(target, renamed(kubeconfig.read(own), context))
    except OSError as error:
        raise Problem(f"write {target}", error.strerror or str(error), f"ls -l {target}", "Unwritable") from None
    click.echo(f"{target}: the context {context} is there and current")


def _remove(target: Path, context: str) -> None:
    from vmpod.client import kubeconfig

    there = target.exists() and kubeconfig.remove_from(target, context)
    click.echo(f"{target}: the context {context} {'is removed' if there else 'was not there'}")


def _file(named: str) -> Path:
    """The file that is meant; by default the first that KUBECONFIG names, as `kubectl config` writes to."""
    from vmpod.client import kubeconfig

    if named != _DEFAULT:
        return Path(named).expanduser()
    first = next((part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part), "")
    return Path(first) if first else kubeconfig.default_file(os.environ)


def renamed(config: dict[str, Any], context: str) -> dict[str, Any]:
    """A kubeconfig of one cluster, user and context, under another name."""
    result = {**config, "current-context": context}
    for kind in ("clusters", "users", "contexts"):
        result[kind] = [{**one, "name": context} for one in config.get(kind) or ()]
    for one in result["contexts"]:
        one["context"] = {**one["context"], "cluster": context, "user": context}
    return result
