"""Logging: one line per record on standard error, with fields spelled `key=value`."""

from __future__ import annotations

import logging
import sys

_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s %(message)s"


def get(name: str) -> logging.Logger:
    """The logger of a part of vmpod, e.g. `get("store")` for `vmpod.store`."""
    return logging.getLogger(f"vmpod.{name}")


def start(*, debug: bool = False) -> None:
    """Send the records of this process to standard error, in UTC."""
    import time

    formatter = logging.Formatter(_FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(formatter)
    root = logging.getLogger("vmpod")
    root.handlers[:] = [out]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
