"""The one error type that is meant for people."""

from __future__ import annotations


class Problem(Exception):
    """Something that could not be done, told so that its reader can act.

    `what` completes "cannot …", `why` is the cause, `fix` is the command or step that mends it
    (empty when there is none), `reason` a CamelCase word for programs.
    """

    def __init__(self, what: str, why: str, fix: str = "", reason: str = "") -> None:
        super().__init__(f"cannot {what}: {why}")
        self.what = what
        self.why = why
        self.fix = fix
        self.reason = reason

    def render(self) -> str:
        """The text for a terminal: the cause, then on its own line what to do."""
        return f"{self}\n  {self.fix}" if self.fix else str(self)
