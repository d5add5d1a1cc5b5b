"""A trusted platform module: QEMU shows what a swtpm behind a socket does."""

from __future__ import annotations

from vmpod.drivers.qemu.args.options import pairs
from vmpod.drivers.qemu.spec import MachineSpec

_SWTPM = "swtpm socket --tpm2 --tpmstate dir={folder} --ctrl type=unixio,path={socket} --daemon --terminate"


def args(spec: MachineSpec) -> tuple[str, ...]:
    """The device, and the socket of the process that `entrypoint` begins."""
    if not spec.tpm:
        return ()
    return ("-chardev", pairs("socket", id="tpm0", path=spec.sockets.at(spec.sockets.tpm)),
            "-tpmdev", "emulator,id=tpm0-host,chardev=tpm0", "-device", "tpm-tis,tpmdev=tpm0-host,id=tpm0-dev")


def entrypoint(spec: MachineSpec, program: str) -> tuple[str, ...]:
    """What runs `program` with the arguments that follow: itself, or a shell that begins a swtpm before it.

    The swtpm ends with QEMU's connection, and with its container at the latest.
    """
    if not spec.tpm:
        return (program,)
    folder = spec.sockets.at("tpm")
    begin = _SWTPM.format(folder=folder, socket=spec.sockets.at(spec.sockets.tpm))
    return ("sh", "-c", f'mkdir -p {folder} && {begin} && exec "$0" "$@"', program)
