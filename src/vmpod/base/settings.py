"""How the engine of a home is to run, kept in home.json between starts."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths

IP_FAMILIES = ("IPv4", "IPv4,IPv6")


@dataclass(frozen=True)
class Settings:
    """What `vmpod engine start` was told. `port` 0 means: choose one and keep it."""

    listen: str = "127.0.0.1"
    port: int = 0
    egress: bool = True
    ip_families: str = "IPv4"
    strict_scheduling: bool = False
    node_labels: dict[str, str] = field(default_factory=dict)
    nodes: int = 1

    @property
    def dual(self) -> bool:
        """Whether pods and Services have IPv6 addresses besides."""
        return self.ip_families == "IPv4,IPv6"

    @classmethod
    def load(cls, paths: Paths) -> Settings:
        """The settings of a home, the defaults for a new one. Raises Problem for a file that is not ours."""
        try:
            said = json.loads(paths.settings.read_text())
            return cls(**said)
        except FileNotFoundError:
            return cls(egress=os.environ.get("VMPOD_EGRESS", "on") != "off",
                       ip_families=_families(os.environ.get("VMPOD_IP_FAMILIES", "IPv4")))  # fmt: skip
        except (TypeError, ValueError) as error:
            raise Problem(f"read {paths.settings}", str(error), f"rm {paths.settings}") from None

    def changed(self, **wanted: Any) -> Settings:
        """These settings with every wanted value that is not None."""
        return Settings(**(asdict(self) | {key: value for key, value in wanted.items() if value is not None}))

    def save(self, paths: Paths) -> None:
        """Write them in one step."""
        paths.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = paths.settings.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self), indent=2) + "\n")
        fresh.chmod(0o600)
        fresh.replace(paths.settings)


def _families(said: str) -> str:
    if said not in IP_FAMILIES:
        raise Problem("read VMPOD_IP_FAMILIES", f"{said!r} is none of {', '.join(map(repr, IP_FAMILIES))}",
                      "export VMPOD_IP_FAMILIES=IPv4,IPv6")  # fmt: skip
    return said
