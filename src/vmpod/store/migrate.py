"""Brings the file of an older vmpod to the present schema, in one transaction."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from vmpod.base.errors import Problem

_SCHEMA = Path(__file__).with_name("schema.sql")
_STEPS: tuple[str, ...] = ()  # _STEPS[n] leads from version n+1 to n+2; schema.sql always is the newest
VERSION = len(_STEPS) + 1


def migrate(connection: sqlite3.Connection) -> None:
    """Make the tables, or change them to version VERSION.

    Raises Problem when a newer vmpod made the file, sqlite3.Error when it cannot be written.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found == VERSION:
        return
    if found > VERSION:
        raise Problem(
            "open the store",
            f"a newer vmpod wrote it (version {found}, this one knows {VERSION})",
            "install that newer vmpod, or set VMPOD_HOME to another folder",
            "NewerStore",
        )
    steps = [_SCHEMA.read_text()] if found == 0 else list(_STEPS[found - 1 :])
    connection.executescript("BEGIN;" + ";".join(steps) + f";PRAGMA user_version={VERSION};COMMIT;")
