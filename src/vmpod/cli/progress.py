"""Show what is waited for: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import click

_SAME_AGAIN_S = 10.0


class Progress:
    """Shows `title → what it waits for` (empty: ready). Use it as a context manager.

    Off a terminal a title gets a new line when its words change; when only numbers in them do, every ten seconds.
    """

    def __init__(self) -> None:
        self._live: Any = None
        self._shown: dict[str, tuple[str, float]] = {}
        self._begin = time.monotonic()

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, states: Mapping[str, str]) -> None:
        """Bring the display up to date."""
        if self._live is not None:
            self._live.update(self._table(states))
        else:
            self._lines(states)

    def _lines(self, states: Mapping[str, str]) -> None:
        now = time.monotonic()
        for title, why in states.items():
            words = re.sub(r"\d+", "#", why)
            before, at = self._shown.get(title, (None, 0.0))
            if words != before or (words != why and now - at > _SAME_AGAIN_S):
                self._shown[title] = (words, now)
                click.echo(f"{now - self._begin:6.1f} s  {title:<44} {why or 'ready'}", err=True)

    def _table(self, states: Mapping[str, str]) -> Any:
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for title, why in states.items():
            mark: Any = Spinner("dots", style="yellow") if why else "[green]✓[/]"
            table.add_row(mark, Text(title), Text(why, "yellow") if why else Text("ready", "green"))
        return table
