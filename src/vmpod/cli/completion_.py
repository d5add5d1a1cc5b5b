"""`vmpod completion`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from vmpod.base.errors import Problem

_SHELLS = ("bash", "zsh", "fish")


@click.command("completion", short_help="shell completion for bash, zsh or fish")
@click.argument("shell", required=False, type=click.Choice(_SHELLS))
def command(shell: str | None) -> None:
    """Print the completion script of a shell (default: yours).

    \b
    bash: source <(vmpod completion bash)     in ~/.bashrc
    zsh:  source <(vmpod completion zsh)      in ~/.zshrc
    fish: vmpod completion fish | source      in ~/.config/fish/config.fish
    """
    chosen = shell or Path(os.environ.get("SHELL", "")).name
    if chosen not in _SHELLS:
        why = f"the shell {chosen!r} is none of {', '.join(_SHELLS)}"
        raise Problem("print completion", why, "vmpod completion bash", "Unsupported")
    click.echo(script(chosen))


def script(shell: str) -> str:
    """The script that makes a shell ask `vmpod` itself. Raises Problem when the shell is too old."""
    from click.shell_completion import get_completion_class

    from vmpod.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None  # all of _SHELLS are click's own
    try:
        return kind(cli, {}, "vmpod", "_VMPOD_COMPLETE").source()
    except RuntimeError as error:
        raise Problem("print completion", str(error), "vmpod completion zsh", "Unsupported") from None
