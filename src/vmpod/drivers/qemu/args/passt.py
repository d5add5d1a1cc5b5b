"""passt: a process beside QEMU that speaks to a guest's card over a socket, and for it with the sockets of its own
network namespace. It needs no privilege, no tap and no bridge; the guest has the address of its pod.
"""

from __future__ import annotations

from shlex import join, quote

from vmpod.drivers.qemu.spec import MachineSpec, Passt, Sockets

PROGRAM = "passt"
_SPARE_FILES = 1024  # what it opens beside the ports that it listens on
MOST = 32767  # above them are the ports from which connections go out
_PAUSE_S = 0.02


def most_ports(open_files: int) -> int:
    """Up to which port it can listen: each needs an open file for TCP and one for UDP."""
    return max(0, min(MOST, (open_files - _SPARE_FILES) // 2))


def socket(sockets: Sockets, name: str) -> str:
    """Where the passt of a card listens for QEMU."""
    return sockets.at(f"passt-{name}.sock")


def steps(spec: MachineSpec) -> tuple[str, ...]:
    """Shell commands that begin a passt for each card that has one, and wait until it listens. It ends with QEMU."""
    each = ((socket(spec.sockets, nic.name), nic.passt) for nic in spec.nics if nic.passt is not None)
    return tuple(step for path, passt in each for step in _begin(path, passt))


def _begin(path: str, passt: Passt) -> tuple[str, ...]:
    told = [PROGRAM, "--quiet", "--foreground", "--ipv4-only", "--one-off", "--no-map-gw", "--socket", path,
            "--log-file", path.removesuffix(".sock") + ".log",
            "--tcp-ports", passt.tcp or "none", "--udp-ports", passt.udp or "none"]
    told += [word for server in passt.dns for word in ("--dns", server)]
    told += ["--search", " ".join(passt.search)] if passt.search else []
    waits = f"until [ -S {quote(path)} ]; do kill -0 $! || exit 1; sleep {_PAUSE_S}; done"
    return f"rm -f {quote(path)}", f"{{ {join(told)} & }}", waits
