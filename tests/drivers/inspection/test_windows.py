"""What Windows' registry tells, by hives that are written here as the format's specification says."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpod.drivers.inspection import windows
from vmpod.drivers.inspection.hives import Hive
from vmpod.testing.trees import tree

DRIVERS = "/Windows/System32/drivers"


class Writer:
    """Cells of a hive, one after the other."""

    def __init__(self, form: bytes) -> None:
        self._form = form
        self._bin = bytearray(32)

    def cell(self, data: bytes) -> int:
        at = len(self._bin)
        size = (len(data) + 4 + 7) & ~7
        self._bin += struct.pack("<i", -size) + data.ljust(size - 4, b"\0")
        return at

    def value(self, name: str, said: int | str) -> int:
        if isinstance(said, int):
            return self.cell(b"vk" + struct.pack("<HIIIHH", len(name), 4 | 1 << 31, said, 4, 1, 0) + name.encode())
        data = (said + "\0").encode("utf-16-le")
        return self.cell(b"vk" + struct.pack("<HIIIHH", len(name), len(data), self.cell(data), 1, 1, 0) + name.encode())

    def key(self, name: str, inside: dict[str, Any]) -> int:
        """A key; dictionaries in it are keys, all else are values."""
        keys = [self.key(one, said) for one, said in sorted(inside.items()) if isinstance(said, dict)]
        values = [self.value(one, said) for one, said in inside.items() if not isinstance(said, dict)]
        listed = self.listed(keys) if keys else 0xFFFFFFFF
        told = self.cell(struct.pack(f"<{len(values)}I", *values)) if values else 0xFFFFFFFF
        head = struct.pack("<2sHQIIIIIIIIII", b"nk", 0x20, 0, 0, 0, len(keys), 0, listed, 0xFFFFFFFF, len(values), told, 0, 0)
        return self.cell(head.ljust(0x48, b"\0") + struct.pack("<HH", len(name), 0) + name.encode())

    def listed(self, keys: list[int]) -> int:
        if self._form == b"ri":
            halves = [self.cell(b"li" + struct.pack(f"<H{len(part)}I", len(part), *part)) for part in (keys[:1], keys[1:]) if part]
            return self.cell(b"ri" + struct.pack(f"<H{len(halves)}I", len(halves), *halves))
        return self.cell(self._form + struct.pack("<H", len(keys)) + b"".join(struct.pack("<II", key, 0) for key in keys))

    def hive(self, root: dict[str, Any]) -> bytes:
        at = self.key("ROOT", root)
        size = (len(self._bin) + 0xFFF) & ~0xFFF
        self._bin[:32] = struct.pack("<4sIIQQI", b"hbin", 0, size, 0, 0, 0)
        if (rest := size - len(self._bin)) >= 8:
            self._bin += struct.pack("<i", rest) + bytes(rest - 4)  # a free cell
        head = struct.pack("<4sIIQIIIIIII", b"regf", 1, 1, 0, 1, 5, 0, 1, at, size, 1).ljust(508, b"\0")
        total = 0
        for word in struct.unpack("<127I", head):
            total ^= word
        return (head + struct.pack("<I", total)).ljust(0x1000, b"\0") + self._bin


def hive(root: dict[str, Any], form: bytes = b"lf") -> bytes:
    return Writer(form).hive(root)


CARDS = {"{1}": {"EnableDHCP": 0, "IPAddress": "10.0.0.5"}, "{2}": {"EnableDHCP": 1, "IPAddress": "10.0.0.6"}}
SERVICES: dict[str, Any] = {"viostor": {"Start": 0}, "netkvm": {"Start": 3}, "W3SVC": {"Start": 4}, "Tcpip": {"Parameters": {"Interfaces": CARDS}}}
CONTROL = {"ComputerName": {"ComputerName": {"ComputerName": "TILL-7"}}, "Terminal Server": {"fDenyTSConnections": 1}}
SYSTEM: dict[str, Any] = {"Select": {"Current": 2}, "ControlSet001": {}, "ControlSet002": {"Services": SERVICES, "Control": CONTROL}}
SOFTWARE = {"Microsoft": {"Windows NT": {"CurrentVersion": {"ProductName": "Windows Server 2019 Standard"}}}}
FILES: dict[str, str | bytes] = {
    "/Windows/System32/ntoskrnl.exe": "MZ", f"{DRIVERS}/viostor.sys": "", f"{DRIVERS}/netkvm.sys": "", "/inetpub/wwwroot/a": "",
    "/Windows/System32/config/SOFTWARE": hive(SOFTWARE),
}  # fmt: skip


def system(**changed: dict[str, Any]) -> dict[str, str | bytes]:
    inside = {"Services": SERVICES | changed.get("services", {}), "Control": CONTROL | changed.get("control", {})}
    return FILES | {"/Windows/System32/config/SYSTEM": hive(SYSTEM | {"ControlSet002": inside})}


@pytest.mark.parametrize("form", [b"lf", b"lh", b"ri"])
def test_keys_and_values(form: bytes) -> None:
    found = Hive(hive(SYSTEM, form))
    assert found.keys("controlset002") == ["control", "services"]
    assert found.number("Select", "current") == 2 and found.number("Select", "x") == -1 and found.number("x\\y", "z") == -1
    assert found.text("ControlSet002\\Control\\ComputerName\\computername", "ComputerName") == "TILL-7"
    assert (found.keys("Select"), found.keys("nowhere"), Hive(b"").keys("Select"), Hive(b"regf").keys("a")) == ([], [], [], [])


def test_a_system_by_its_registry() -> None:
    found = windows.system(tree(system()))
    assert (found.name, found.hostname, found.virtio, found.services) == ("Windows Server 2019 Standard", "TILL-7", True, ())
    assert [one.what for one in found.troubles] == ["the address is fixed (10.0.0.5)"]


@pytest.mark.parametrize(
    ("changed", "virtio", "services", "troubles"),
    [
        ({"services": {"viostor": {"Start": 3}}}, False, [], ["a file that nothing loads", "fixed"]),
        ({"services": {"netkvm": {}}}, True, [], ["network card", "fixed"]),
        ({"services": {"W3SVC": {"Start": 2}, "Tcpip": {}}}, True, ["IIS"], []),
        ({"control": {"Terminal Server": {"fDenyTSConnections": 0}}, "services": {"Tcpip": {}}}, True, ["Remote Desktop"], []),
    ],
)
def test_what_the_registry_changes(changed: dict[str, Any], virtio: bool, services: list[str], troubles: list[str]) -> None:
    found = windows.system(tree(system(**changed)))
    assert (found.virtio, [one.name for one in found.services]) == (virtio, services)
    assert all(word in one.what for word, one in zip(troubles, found.troubles, strict=True))


def test_windows_11_calls_itself_10() -> None:
    assert windows.name_of("10.0.22631.1", "Windows 10 Pro") == "Windows 11"
    assert windows.name_of("10.0.19045.1", "Windows 10 Pro") == "Windows 10 Pro"


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0x20, 0x1FFF), st.binary(min_size=1, max_size=8)), max_size=40))
def test_a_damaged_hive_does_no_harm(places: list[tuple[int, bytes]]) -> None:
    broken = bytearray(hive(SYSTEM))
    for at, noise in places:
        broken[at : at + len(noise)] = noise
    found = Hive(bytes(broken))
    assert len(found.keys("ControlSet002\\Services")) < 30_000
    assert found.number("Select", "Current") >= -1 and len(found.text("Select", "Current")) < 1 << 20


def test_a_list_of_lists_that_holds_itself_ends() -> None:
    broken = bytearray(hive(SYSTEM, b"ri"))
    at = broken.rfind(b"ri")
    broken[at + 4 : at + 8] = struct.pack("<I", at - 4 - 0x1000)
    assert len(Hive(bytes(broken)).keys("Select")) == 0
