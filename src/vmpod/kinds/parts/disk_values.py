"""Rules of single values of a disk, with KubeVirt's texts: QEMU would refuse them, or take them for others."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.parts.pci_address import is_address
from vmpod.kinds.parts.reading import dig, mapping, number, text
from vmpod.model.meta import Object
from vmpod.model.status import NOT_SUPPORTED, FieldError, wrong

IO_MODES = ("native", "threads")
ERROR_POLICIES = ("stop", "ignore", "report", "enospace")
_SMALLEST, _LARGEST = 512, 2 << 20  # of a block, in bytes


def value_errors(disk: Object, path: str) -> Iterator[FieldError]:
    """Modes, policies, block sizes, threads and addresses of a defaulted disk."""
    io, policy = text(disk, "io"), text(disk, "errorPolicy")
    if io and io not in IO_MODES:
        told = f"Disk IO mode for {path} is not supported. Supported modes are: native, threads."
        yield FieldError(f"{path}.io", NOT_SUPPORTED, told, io)
    if policy and policy not in ERROR_POLICIES:
        yield wrong(f"{path}.errorPolicy", policy, f'{path}.errorPolicy has invalid value "{policy}"')
    bus = next((text(disk[key], "bus") for key in ("disk", "lun", "cdrom") if isinstance(disk.get(key), dict)), "")
    if disk.get("dedicatedIOThread") and bus not in ("", "virtio"):
        told = f"IOThreads are not supported for disks on a {bus} bus"
        yield FieldError(path, NOT_SUPPORTED, told, text(disk, "name"))
    yield from _block_size_errors(dig(disk, "blockSize"), f"{path}.blockSize")
    yield from _address_errors(text(dig(disk, "disk"), "pciAddress"), bus, path)


def _block_size_errors(size: Object, path: str) -> Iterator[FieldError]:
    custom, matching = size.get("custom"), size.get("matchVolume")
    if not isinstance(custom, dict):
        return
    if isinstance(matching, dict) and mapping(matching).get("enabled") is not False:
        yield wrong(path, size, "Block size matching can't be enabled together with a custom value")
        return
    logical, physical = number(custom, "logical") or 0, number(custom, "physical") or 0
    if logical > physical:
        told = f"Logical size {logical} must be the same or less than the physical size of {physical}"
        yield wrong(f"{path}.custom.logical", logical, told)
        return
    for key, bytes in (("logical", logical), ("physical", physical)):
        if fault := _size_fault(bytes):
            yield wrong(f"{path}.custom.{key}", bytes, fault)


def _size_fault(size: int) -> str:
    if size < _SMALLEST:
        return f"Provided size of {size} is less than the supported minimum size of {_SMALLEST}"
    if size > _LARGEST:
        return f"Provided size of {size} is greater than the supported maximum size of {_LARGEST}"
    return f"Provided size of {size} is not a power of 2" if size & (size - 1) else ""


def _address_errors(address: str, bus: str, path: str) -> Iterator[FieldError]:
    if address and bus != "virtio":
        told = f"disk {path}.name - setting a PCI address is only possible with bus type virtio."
        yield wrong(f"{path}.disk.pciAddress", address, told)
    if address and not is_address(address):
        yield wrong(f"{path}.disk.pciAddress", address, f"disk {path}.name has malformed PCI address ({address}).")
