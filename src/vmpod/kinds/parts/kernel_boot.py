"""A kernel that is started out of a container image, without a boot loader (KubeVirt: kernelBoot)."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.parts.checks import inner_path_errors
from vmpod.kinds.parts.reading import dig, text
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, required, wrong

VOLUME = "kernel-boot-volume"
"""The volume of the launcher pod that is this image"""
PATHS = ("kernelPath", "initrdPath")


def kernel_boot(spec: Object) -> Object:
    """What a machine spec says of a kernel of its own, empty where it boots from a device."""
    found = dig(spec, "domain", "firmware", "kernelBoot")
    return found if dig(found, "container") else {}


def kernel_boot_errors(firmware: Object, path: str) -> Iterator[FieldError]:
    """KubeVirt's rules, with its texts."""
    boot, here = dig(firmware, "kernelBoot"), f"{path}.kernelBoot"
    if not isinstance(boot.get("container"), dict):
        if arguments := text(boot, "kernelArgs"):
            told = "kernel arguments cannot be provided without an external kernel"
            yield wrong(f"{here}.kernelArgs", arguments, told)
        return
    container, inside = dig(boot, "container"), f"{here}.container"
    if not text(container, "image"):
        yield required(f"{inside}.image", f"{inside} must be defined with an image")
    if not any(text(container, key) for key in PATHS):
        told = f"{inside} must be defined with at least one of the following: kernelPath, initrdPath"
        yield required(inside, told)
    for key in PATHS:
        yield from inner_path_errors(text(container, key), f"{inside}.{key}")
