"""Connections copied from one network namespace into another: the messages, and the kernel's answer to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from ipaddress import IPv6Address

import pytest

from vmpod.drivers.net import conntrack
from vmpod.drivers.net.conntrack import Entry, Way

GUEST, POD, SERVER = (bytes(map(int, one.split("."))) for one in ("10.0.2.2", "192.0.2.1", "192.0.2.9"))
PORT, WEB = (7000).to_bytes(2, "big"), (80).to_bytes(2, "big")
OUTBOUND = Entry(6, Way(GUEST, SERVER, PORT, WEB), Way(SERVER, POD, WEB, PORT), 0x19E, 300, (3, 7, 7))
INBOUND = Entry(17, Way(SERVER, POD, WEB, PORT), Way(GUEST, SERVER, PORT, WEB), 0x2AA, 30)
GUEST6, POD6, SERVER6 = (IPv6Address(one).packed for one in ("fd10:0:2::2", "2001:db8::1", "2001:db8::9"))
OUTBOUND6 = Entry(6, Way(GUEST6, SERVER6, PORT, WEB), Way(SERVER6, POD6, WEB, PORT), 0x19E, 300, (3, 7, 7))
INBOUND6 = Entry(17, Way(SERVER6, POD6, WEB, PORT), Way(GUEST6, SERVER6, PORT, WEB), 0x2AA, 30)


def as_told(entry: Entry) -> bytes:
    """A message of a dump, as the kernel would write this entry."""
    parts = [conntrack._way_group(1, entry.protocol, entry.original), conntrack._way_group(2, entry.protocol, entry.reply)]
    parts += [conntrack._field(3, entry.status.to_bytes(4, "big")), conntrack._field(7, entry.timeout_s.to_bytes(4, "big"))]
    parts += conntrack._tcp_group(entry)
    return conntrack._message(2, 0x100, 0, 1, b"".join(parts))


def test_what_the_kernel_tells_is_read() -> None:
    all_of_them = [OUTBOUND, INBOUND, OUTBOUND6, INBOUND6]
    assert list(conntrack.entries(b"".join(as_told(one) for one in all_of_them))) == all_of_them


def test_connections_that_are_over_are_left_out() -> None:
    over = Entry(6, OUTBOUND.original, OUTBOUND.reply, 0x19E, 60, (7, 7, 7))
    ping = Entry(1, INBOUND.original, INBOUND.reply, 0, 30)
    assert list(conntrack.entries(as_told(over) + as_told(ping))) == []


def test_an_entry_is_said_untranslated_with_its_translation_beside_it() -> None:
    for outbound, inbound, pod, guest in ((OUTBOUND, INBOUND, POD, GUEST), (OUTBOUND6, INBOUND6, POD6, GUEST6)):
        fields = conntrack._fields(conntrack.encode(outbound))
        assert conntrack._way(fields[2])[1] == outbound.original.back
        assert pod in fields[6] and 13 not in fields
        fields = conntrack._fields(conntrack.encode(inbound))
        assert conntrack._way(fields[2])[1] == inbound.original.back
        assert guest in fields[13] and 6 not in fields


NEST = textwrap.dedent("""\
    import json, subprocess
    from vmpod.drivers.net import conntrack, nft
    from tests.drivers.net.test_conntrack import INBOUND, INBOUND6, OUTBOUND, OUTBOUND6
    chain = nft.chain("post", "nat hook postrouting priority srcnat", ["masquerade"])
    rules = nft.table("ip", "t", [chain]) + nft.table("ip6", "t", [chain])
    for name in ("a", "b"):
        subprocess.run(["ip", "netns", "add", name], check=True)
        subprocess.run(["ip", "netns", "exec", name, "nft", "-f", "-"], input=rules.encode(), check=True)
    with conntrack._door("/run/netns/a") as door:
        made = [conntrack._put(door, one, number) for number, one in enumerate((INBOUND, OUTBOUND, INBOUND6, OUTBOUND6))]
    first = conntrack.copy("/run/netns/a", "/run/netns/b")
    rest = conntrack.copy("/run/netns/a", "/run/netns/b", six=True)
    again = conntrack.copy("/run/netns/a", "/run/netns/b", six=True)
    with conntrack._door("/run/netns/b") as door:
        there = [one for family in (2, 10)
                 for one in sorted(conntrack.entries(conntrack._dump(door, family)), key=lambda one: one.protocol)]
    print(json.dumps([made, first, rest, again, [[repr(one.original), repr(one.reply)] for one in there]]))
    """)


@pytest.mark.host
def test_the_kernel_takes_them_once() -> None:
    """In a mount namespace of its own, so that the names of the network namespaces are the test's."""
    script = f"mount -t tmpfs none /run && mkdir -p /run/netns && exec {sys.executable} -c \"$NEST\""
    done = subprocess.run(["unshare", "-m", "-n", "sh", "-c", script], env={**os.environ, "NEST": NEST, "PYTHONPATH": "."},
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    made, first, rest, again, there = json.loads(done.stdout)
    assert (made, first, rest, again) == ([True] * 4, 2, 2, 0)
    expected = (OUTBOUND, INBOUND, OUTBOUND6, INBOUND6)
    assert there == [[repr(one.original), repr(one.reply)] for one in expected]
