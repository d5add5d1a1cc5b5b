"""What starts the machine: UEFI, else QEMU's own BIOS; and the kernel that it is given, if any."""

from __future__ import annotations

from posixpath import dirname
from shlex import quote

from vmpod.drivers.qemu.args.options import as_json, pairs, text
from vmpod.drivers.qemu.spec import Firmware, MachineSpec


def args(spec: MachineSpec) -> tuple[str, ...]:
    """Firmware, what it tells beside the board's own tables, and kernel."""
    tables = tuple(word for file in spec.acpi_tables for word in ("-acpitable", pairs(f"file={text(file)}")))
    return (*_chips(spec), *tables, *_kernel(spec))


def _kernel(spec: MachineSpec) -> tuple[str, ...]:
    if spec.kernel is None:
        return ()
    initrd = ("-initrd", spec.kernel.initrd) if spec.kernel.initrd else ()
    arguments = ("-append", spec.kernel.arguments) if spec.kernel.arguments else ()
    return ("-kernel", spec.kernel.path, *initrd, *arguments)


def _chips(spec: MachineSpec) -> tuple[str, ...]:
    """Two flash chips: code (read-only) and this machine's own variables."""
    if spec.firmware is None:
        return ()
    code = ("-blockdev", _flash("flash-code", spec.firmware.code, spec.firmware, readonly=True))
    variables = ("-blockdev", _flash("flash-vars", spec.firmware.variables, spec.firmware, readonly=False))
    return (*code, *variables, *_secure(spec.firmware),
            "-machine", "pflash0=flash-code,pflash1=flash-vars")


def steps(spec: MachineSpec) -> tuple[str, ...]:
    """Shell commands that make this machine's variables from the template, unless they are there; all or nothing."""
    if spec.firmware is None or not spec.firmware.template:
        return ()
    folder = quote(dirname(spec.firmware.variables))
    template, file, fresh = (quote(one) for one in (
        spec.firmware.template, spec.firmware.variables, f"{spec.firmware.variables}.new"))
    return (f"mkdir -p {folder}", f"{{ [ -e {file} ] || {{ cp {template} {fresh} && mv {fresh} {file}; }}; }}")


def _flash(name: str, path: str, firmware: Firmware, *, readonly: bool) -> str:
    file = {"driver": "file", "filename": path}
    return as_json({"driver": firmware.format, "node-name": name, "read-only": readonly, "file": file})


def _secure(firmware: Firmware) -> tuple[str, ...]:
    return ("-global", "driver=cfi.pflash01,property=secure,value=on") if firmware.secure_boot else ()
