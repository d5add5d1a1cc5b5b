"""Image names, as far as defaults depend on them."""

from __future__ import annotations


def pull_policy(image: str) -> str:
    """`Always` for `:latest` and for names without tag or digest, else `IfNotPresent`."""
    if "@" in image:
        return "IfNotPresent"
    last = image.rpartition("/")[2]
    tag = last.partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"
