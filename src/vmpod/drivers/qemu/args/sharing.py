"""Folders that the guest mounts (virtiofs): for each a process that serves it, and a device that leads there.

The process gets the guest's requests through the guest's memory, which is therefore shared with it.
"""

from __future__ import annotations

from shlex import quote

from vmpod.drivers.qemu.args.options import pairs
from vmpod.drivers.qemu.spec import MachineSpec, Share

_QUEUE = 1024
_TRIES = 200
_PRIVATE = "mount -t tmpfs none /var && mkdir -p /var/run && exec"  # the old one keeps a lock there


def args(spec: MachineSpec) -> tuple[str, ...]:
    """One device for each folder, on the socket of its process."""
    return tuple(word for number, share in enumerate(spec.shares) for word in (
        "-chardev", pairs("socket", id=f"share{number}", path=_socket(spec, number)),
        "-device", pairs("vhost-user-fs-pci", id=f"share{number}-dev", chardev=f"share{number}", tag=share.tag,
                         queue_size=_QUEUE)))


def steps(spec: MachineSpec) -> tuple[str, ...]:
    """Shell commands that begin the processes and wait for their sockets; they end with their container."""
    begun = [f"{{ {_serve(share, quote(_socket(spec, number)))} & }}" for number, share in enumerate(spec.shares)]
    waits = [_wait(quote(_socket(spec, number)), share) for number, share in enumerate(spec.shares)]
    return (*begun, *waits)


def needs_groups_dropped(spec: MachineSpec) -> bool:
    """Whether a process leaves its groups, for which it needs a capability until it has done so."""
    return any(not share.confines_itself for share in spec.shares)


def _socket(spec: MachineSpec, number: int) -> str:
    return spec.sockets.at(f"share{number}.sock")


def _serve(share: Share, socket: str) -> str:
    """As QEMU's user, who is root of the guest; what others than that user own, its namespace shows as nobody's."""
    program, folder = quote(share.program), quote(share.folder)
    if share.confines_itself:
        return f"{program} --socket-path={socket} --shared-dir={folder} --sandbox=none --cache=auto"
    old = f"{program} --socket-path={socket} -o source={folder} -o sandbox=chroot -o cache=auto --rlimit-nofile=0"
    return f"unshare --user --map-root-user --mount sh -c {quote(f'{_PRIVATE} {old}')}"


def _wait(socket: str, share: Share) -> str:
    late = quote(f"the folder {share.tag} is not served")
    return (f"{{ for try in $(seq {_TRIES}); do [ -S {socket} ] && break; sleep 0.05; done; "
            f"[ -S {socket} ] || {{ echo {late} >&2; exit 1; }}; }}")
