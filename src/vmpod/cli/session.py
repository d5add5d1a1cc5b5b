"""What every verb needs first: the home, a running engine, a client."""

from __future__ import annotations

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.cli import launch
from vmpod.client.simple import SimpleClient


def connect(*, start: bool = True) -> SimpleClient:
    """A client of this home's engine, which is started if none runs (unless `start` is False). Raises Problem."""
    paths = Paths.of()
    if start:
        launch.ensure(paths)
    elif launch.running(paths) is None:
        raise Problem("reach the engine", f"none runs in {paths.home}", "vmpod engine start", "NotRunning")
    return SimpleClient.load(paths.kubeconfig)
