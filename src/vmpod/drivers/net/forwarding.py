"""The way out: forwarding on the uplinks only, never for the whole host, and given back with the last home.

A packet is forwarded when the device it *came in* on allows it; answers to pods come in on the uplink.
"""

from __future__ import annotations

from pathlib import Path

from vmpod.drivers.net import hostnet


class Forwarding:
    """The uplinks on which some home switched forwarding on; one empty file each in a folder all homes share."""

    def __init__(self, folder: Path, *, six: bool = False) -> None:
        self._folder, self._six = folder, six

    def open(self, devices: list[str]) -> None:
        """Switch forwarding on where it is off, and remember where."""
        for device in devices:
            if hostnet.read_setting(self._name(device)) == "0":
                self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
                (self._folder / device).touch()
                hostnet.write_setting(self._name(device), "1")

    def is_closed(self, devices: list[str]) -> bool:
        """Whether forwarding is off on any of these."""
        return any(hostnet.read_setting(self._name(device)) == "0" for device in devices)

    def ours(self) -> tuple[str, ...]:
        """The devices that forward only because of us; none once the host forwards everywhere by its own will."""
        if hostnet.read_setting(self._everywhere) == "1" or not self._folder.is_dir():
            return ()
        return tuple(sorted(path.name for path in self._folder.iterdir() if hostnet.exists(path.name)))

    def give_back(self) -> None:
        """Switch forwarding off again where it was off before the first home."""
        for device in self.ours():
            hostnet.write_setting(self._name(device), "0")
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            path.unlink(missing_ok=True)

    @property
    def _everywhere(self) -> str:
        return "ipv6/conf/all/forwarding" if self._six else "ipv4/ip_forward"

    def _name(self, device: str) -> str:
        return f"ipv6/conf/{device}/force_forwarding" if self._six else f"ipv4/conf/{device}/forwarding"
