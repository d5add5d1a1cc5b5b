"""What all tests may use."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A property that holds on a busy machine holds: how long one example takes is no property.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@dataclass(frozen=True)
class Kubectl:
    """A real kubectl, run without a kubeconfig of the user's."""

    program: str
    home: Path

    def run(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run it to its end; with `check` a failure fails the test with what kubectl said."""
        done = subprocess.run(
            [self.program, *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False,
            env=os.environ | {"HOME": str(self.home), "KUBECONFIG": os.devnull},
        )
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done

    def read(self, *arguments: str, stdin: str = "") -> Any:
        """What it prints, decoded from JSON."""
        return json.loads(self.run(*arguments, "-o", "json", stdin=stdin).stdout)


def _is_real(program: str) -> bool:
    """Whether it answers by itself: some are slow dispatchers of a cloud's tools, some too old for local patches."""
    done = subprocess.run(
        [program, "version", "--client", "-o", "json"], capture_output=True, text=True, timeout=60, check=False
    )
    try:
        return int(json.loads(done.stdout)["clientVersion"]["minor"].rstrip("+")) >= 28
    except (ValueError, KeyError):
        return False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing is skipped silently: a test of the host that cannot run there is a failure that says why."""
    report = yield
    if report.skipped and os.environ.get("CI") and item.get_closest_marker("host") and not hasattr(report, "wasxfail"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"a test of the host was skipped in CI: {why}"
    return report


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """The kubectl of VMPOD_TEST_KUBECTL, else one on the PATH; skips when there is none of 1.28 or later."""
    named = os.environ.get("VMPOD_TEST_KUBECTL")
    names: Sequence[str] = (named,) if named else ("kubectl33", "kubectl")
    for name in names:
        program = shutil.which(name)
        if program and _is_real(program):
            return Kubectl(program, tmp_path_factory.mktemp("kubectl"))
    pytest.skip("needs kubectl 1.28 or later: set VMPOD_TEST_KUBECTL")
