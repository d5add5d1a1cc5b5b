"""The command line itself: its verbs, its help, its errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from vmpod.cli import completion_, main
from vmpod.cli.main import cli


def test_every_verb_is_a_command_with_help() -> None:
    context = click.Context(cli)
    for verb in [*cli.list_commands(context), "_forward"]:
        command = cli.get_command(context, verb)
        assert isinstance(command, click.Command) and command.help, verb
        assert CliRunner().invoke(cli, [verb, "--help"]).exit_code == 0


def test_the_list_shows_every_verb_and_no_inner_one() -> None:
    shown = CliRunner().invoke(cli, ["--help"]).output
    assert all(f"  {verb} " in shown for verb in cli.list_commands(click.Context(cli)))
    assert "_forward" not in shown


def test_showing_help_imports_no_verb() -> None:
    code = "import sys; from vmpod.cli.main import cli; cli(['--help'], standalone_mode=False); " \
           "sys.exit(any(name.endswith('_') for name in sys.modules if name.startswith('vmpod.cli.')))"  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("verb", ["status", "version", "console"])
def test_common_verbs_do_not_read_yaml_or_the_engine(verb: str) -> None:
    code = f"import sys, vmpod.cli.{verb}_; sys.exit(bool({{'yaml', 'aiohttp', 'rich', 'vmpod.daemon'}} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def vmpod(*arguments: str, home: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "vmpod", *arguments], capture_output=True, text=True, check=False,
                          env={"PATH": "/usr/bin:/bin", "VMPOD_HOME": str(home), **env})  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["up", "--nonsense"], 2, "No such option"),
        (["up", "nowhere.yaml"], 1, "cannot read nowhere.yaml: No such file or directory"),
        (["up", "https://example.org/a.yaml"], 1, "nothing is fetched from a network"),
        (["down", "--all", "x"], 2, "name paths or --all, not both"),
        (["_forward", "x", "22"], 1, "cannot reach the engine: none runs in"),
        (["completion", "tcsh"], 2, "'tcsh' is not one of"),
        (["kubeconfig", "--merge", "--remove"], 2, "--merge or --remove, not both"),
    ],
)
def test_errors(tmp_path: Path, arguments: list[str], code: int, says: str) -> None:
    done = vmpod(*arguments, home=tmp_path / "home")
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home").exists(), "an error made a home"


def test_nothing_runs_and_nothing_is_started_to_say_so(tmp_path: Path) -> None:
    assert "the engine does not run" in vmpod("status", home=tmp_path / "home").stdout
    assert vmpod("status", "-o", "json", home=tmp_path / "home").stdout == "[]\n"
    assert vmpod("status", "-o", "yaml", home=tmp_path / "home").stdout == "[]\n"
    assert "there is nothing" in vmpod("down", "--all", home=tmp_path / "home").stdout
    assert "does not run" in vmpod("version", home=tmp_path / "home").stdout
    assert not (tmp_path / "home").exists()


def test_unforeseen_errors_are_one_line_unless_debugged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(cli, "main", fail)
    monkeypatch.setattr(sys, "argv", ["vmpod", "status"])
    monkeypatch.delenv("VMPOD_DEBUG", raising=False)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 1
    assert "cannot go on: something unforeseen happened: RuntimeError: odd" in capsys.readouterr().err
    monkeypatch.setenv("VMPOD_DEBUG", "1")
    with pytest.raises(RuntimeError):
        main.main()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    assert "_VMPOD_COMPLETE" in completion_.script(shell)


def test_completion_offers_verbs_and_options(tmp_path: Path) -> None:
    done = vmpod(home=tmp_path, _VMPOD_COMPLETE="zsh_complete", COMP_WORDS="vmpod sta", COMP_CWORD="1")
    assert {"status", "start"} <= set(done.stdout.splitlines())
    done = vmpod(home=tmp_path, _VMPOD_COMPLETE="zsh_complete", COMP_WORDS="vmpod up --det", COMP_CWORD="2")
    assert "--detach" in done.stdout
    done = vmpod(home=tmp_path, _VMPOD_COMPLETE="zsh_complete", COMP_WORDS="vmpod console ''", COMP_CWORD="2")
    assert done.returncode == 0


def test_down_knows_everything_that_makes_machines_or_pods_anew() -> None:
    """What is deleted below its maker comes back: whoever scales goes first."""
    from vmpod.cli import down_
    from vmpod.kinds import KINDS

    makers = {kind.kind for kind in KINDS if "scale" in kind.subresources} | {"VirtualMachine"}
    assert makers <= set(down_._ALL)
    assert down_._ALL.index("VirtualMachinePool") < down_._ALL.index("VirtualMachine")
