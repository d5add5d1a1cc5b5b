"""The command `vmpod`: each verb is a file of its own, imported only when it is used."""

from __future__ import annotations

import importlib
import os
import sys

import click

from vmpod.base.errors import Problem

_VERBS = {
    "up": "apply manifests and wait until all of it is ready",
    "down": "remove what manifests brought up; volumes stay unless --volumes",
    "status": "what runs: machines and containers side by side",
    "import": "bring a disk image in and write manifests for it",
    "console": "the serial console of a virtual machine",
    "vnc": "the screen of a virtual machine",
    "screenshot": "a picture of the screen of a virtual machine",
    "ssh": "a shell in a virtual machine",
    "scp": "copy files to and from a virtual machine",
    "port-forward": "ports of this host that lead to a virtual machine",
    "expose": "a Service in front of a virtual machine",
    "start": "start a virtual machine",
    "stop": "stop a virtual machine",
    "restart": "restart a virtual machine",
    "pause": "freeze the processors of a virtual machine",
    "unpause": "let a paused virtual machine go on",
    "soft-reboot": "ask the guest to reboot",
    "reset": "reset a virtual machine, as a button would",
    "migrate": "move a running virtual machine to another node",
    "addvolume": "plug a disk into a running virtual machine",
    "removevolume": "unplug a disk from a running virtual machine",
    "snapshot": "keep a virtual machine as it is, and go back to it",
    "clone": "make another virtual machine like one",
    "export": "a disk of a virtual machine as a file",
    "memory-dump": "the memory of a running virtual machine, in a claim",
    "guest": "what the agent in a guest tells",
    "create": "print the manifest of a virtual machine",
    "engine": "the engine behind all this: start, stop, status, logs",
    "kubeconfig": "print the kubeconfig, or merge it into yours",
    "image": "make, fetch and send container disks",
    "disk": "what the disks of this home take",
    "inspect": "say whether and how a disk image will boot",
    "doctor": "what this machine has and lacks, and how to mend it",
    "completion": "shell completion for bash, zsh or fish",
    "version": "the version of vmpod and of what it reports and follows",
}
_INNER = {"_forward": "forward"}  # for our own use: not listed


class Verbs(click.Group):
    """A group whose commands are modules `vmpod.cli.NAME` with a `command`, in the order of the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS and cmd_name not in _INNER:
            return None
        file = _INNER.get(cmd_name, cmd_name).replace("-", "")
        module = importlib.import_module(f"vmpod.cli.{file}_")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help text comes from the table, so that showing it imports nothing."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--debug", is_flag=True, envvar="VMPOD_DEBUG", help="Show tracebacks and debug logs.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Virtual machines and containers side by side, from the same Kubernetes and KubeVirt manifests.

    The home is $VMPOD_HOME (default: vmpod in the XDG data folder). Everything also works through plain
    kubectl: KUBECONFIG=$VMPOD_HOME/kubeconfig kubectl get vm,pods
    """
    ctx.obj = {"debug": debug}


def main() -> None:
    """Run the command line; a Problem ends it with its text on standard error and exit code 1."""
    try:
        cli.main(standalone_mode=False, prog_name="vmpod")
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        _fail(error)


def _fail(error: Exception) -> None:
    """Tell what went wrong. Tracebacks are for those who ask for them."""
    if "--debug" in sys.argv or os.environ.get("VMPOD_DEBUG"):
        raise error
    if not isinstance(error, Problem):
        why = f"{type(error).__name__}: {error}"
        again = f"VMPOD_DEBUG=1 vmpod {' '.join(sys.argv[1:])}   shows where; please report it"
        error = Problem("go on", f"something unforeseen happened: {why}", again, "Unforeseen")
    click.echo(error.render(), err=True)
    sys.exit(1)
