"""virt-inspector as a program that prints what the real one (libguestfs 1.48) printed of two images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from vmpod.base.errors import Problem
from vmpod.drivers.inspection import inspector
from vmpod.drivers.inspection.facts import Image, Part, System

LAB = """<?xml version="1.0"?>
<operatingsystems>
  <operatingsystem>
    <root>/dev/sda2</root>
    <name>linux</name>
    <arch>x86_64</arch>
    <major_version>0</major_version>
    <minor_version>0</minor_version>
    <hostname>lab</hostname>
    <mountpoints>
      <mountpoint dev="/dev/sda2">/</mountpoint>
    </mountpoints>
    <filesystems>
      <filesystem dev="/dev/sda2">
        <type>ext4</type>
        <label>vmpod-root</label>
        <uuid>6e09ca6d-06b2-48f7-9e6a-0cae6a1cd8dd</uuid>
      </filesystem>
    </filesystems>
  </operatingsystem>
</operatingsystems>
"""
DEBIAN = LAB.replace("<name>linux</name>", "<name>linux</name><distro>debian</distro><product_name>12.5</product_name>").replace(
    "<major_version>0", "<major_version>12").replace("</filesystems>", """</filesystems><applications>
    <application><name>openssh-server</name><version>9.2p1</version></application>
    <application><name>qemu-guest-agent</name></application></applications>""")  # fmt: skip
THIN = Image("thin.qcow2", "qcow2", 1 << 30, 1 << 20, table="gpt", boots=("bios",), parts=(Part("1", 0, 9, "linux", "mdraid"),),
             unread=("1: mdraid",))  # fmt: skip


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of this name on the PATH; it writes down its arguments and prints `answer`."""
    made = tmp_path / "virt-inspector"
    made.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n. {tmp_path}/does\n')
    made.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "answer").write_text(LAB)
    (tmp_path / "does").write_text(f"cat {tmp_path}/answer\n")
    return tmp_path


@pytest.mark.parametrize(
    ("image", "how", "wanted"),
    [
        (THIN, "auto", True), (THIN, "never", False),
        (dataclasses.replace(THIN, unread=("1: luks",), parts=(Part("1", 0, 9, "linux", "luks"),)), "auto", False),
        (dataclasses.replace(THIN, unread=(), parts=(Part("1", 0, 9, "linux"),)), "auto", True),
        (dataclasses.replace(THIN, unread=(), parts=(Part("1", 0, 9, "swap"),)), "auto", False),
        (dataclasses.replace(THIN, system=System("linux")), "auto", False),
        (dataclasses.replace(THIN, system=System("linux")), "always", True),
    ],
)  # fmt: skip
def test_when_it_is_asked(program: Path, image: Image, how: str, wanted: bool) -> None:
    assert inspector.is_wanted(image, how) == wanted


def test_it_is_not_asked_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not inspector.is_wanted(THIN, "always")


def test_it_names_a_system_that_was_not_read(program: Path) -> None:
    (program / "answer").write_text(DEBIAN)
    found = inspector.added(THIN, Path("/images/thin.qcow2"), "qcow2")
    system = found.system
    assert (system.family, system.id, system.name, system.version) == ("linux", "debian", "12.5", "12.0")
    assert (system.architecture, system.hostname, system.ssh, system.guest_agent, system.cloud_init) == ("x86_64", "lab", True, True, False)
    assert found.inspector == "12.5 (x86_64)"
    assert (program / "asked").read_text() == "--no-icon --format=qcow2 -a /images/thin.qcow2\n"


def test_it_completes_what_was_seen_and_overrules_nothing(program: Path) -> None:
    own = System("linux", "lab", "Lab Linux", ssh=True)
    found = inspector.added(dataclasses.replace(THIN, system=own), Path("x"), "raw").system
    assert found == dataclasses.replace(own, architecture="x86_64", hostname="lab")


def test_it_may_know_nothing(program: Path) -> None:
    (program / "answer").write_text("<operatingsystems/>")
    assert inspector.added(THIN, Path("x"), "raw") == dataclasses.replace(THIN, inspector="no system that it knows")


@pytest.mark.parametrize(
    ("does", "says"),
    [("echo this is no XML", "no XML"), ("echo first >&2; echo no kernel found >&2; exit 1", "no kernel found"), ("exit 3", "ended with 3")],
)
def test_its_failures_are_told(program: Path, does: str, says: str) -> None:
    (program / "does").write_text(does + "\n")
    with pytest.raises(Problem, match=says):
        inspector.added(THIN, Path("x"), "raw")
