"""Group, version, kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class GVK:
    """What an object is. The core group is the empty text."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        """As in `apiVersion`: `v1`, `apps/v1`."""
        return api_version(self.group, self.version)

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> GVK:
        """The type that an object says it has; parts it does not say are empty."""
        return cls(*parse_api_version(str(obj.get("apiVersion") or "")), str(obj.get("kind") or ""))

    def __str__(self) -> str:
        """As apimachinery prints it: `apps/v1, Kind=Deployment`."""
        return f"{self.group}/{self.version}, Kind={self.kind}"


def parse_api_version(text: str) -> tuple[str, str]:
    """`apps/v1` as ("apps", "v1"); `v1` as ("", "v1")."""
    group, slash, version = text.rpartition("/")
    return (group, version) if slash else ("", text)


def api_version(group: str, version: str) -> str:
    """The inverse of `parse_api_version`."""
    return f"{group}/{version}" if group else version
