"""A trusted platform module: QEMU shows what a swtpm behind a socket does."""

from __future__ import annotations

from shlex import quote

from vmpod.drivers.qemu.args.options import pairs
from vmpod.drivers.qemu.spec import MachineSpec

_SWTPM = "swtpm socket --tpm2 --tpmstate dir={folder} --ctrl type=unixio,path={socket} --daemon --terminate"


def args(spec: MachineSpec) -> tuple[str, ...]:
    """The device, and the socket of the process that `steps` begin."""
    if spec.tpm is None:
        return ()
    return ("-chardev", pairs("socket", id="tpm0", path=spec.sockets.at(spec.sockets.tpm)),
            "-tpmdev", "emulator,id=tpm0-host,chardev=tpm0",
            "-device", pairs(spec.tpm.model, tpmdev="tpm0-host", id="tpm0-dev"))


def steps(spec: MachineSpec) -> tuple[str, ...]:
    """Shell commands that begin a swtpm. It ends with QEMU's connection, and with its container at the latest."""
    if spec.tpm is None:
        return ()
    folder, socket = quote(spec.tpm.folder), quote(spec.sockets.at(spec.sockets.tpm))
    return (f"mkdir -p {folder}", _SWTPM.format(folder=folder, socket=socket))
