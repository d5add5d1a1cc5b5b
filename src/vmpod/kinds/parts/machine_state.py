"""What a machine keeps beside its disks: the variables of UEFI and what its TPM holds, on a claim of its own."""

from __future__ import annotations

from vmpod.kinds.parts.reading import dig
from vmpod.model.meta import Object, is_deleting, labels, name, uid

LABEL = "persistent-state-for"
PREFIX = f"{LABEL}-"
SIZE = "10Mi"
VOLUME = "vm-state"
"""The volume of the launcher pod that is this claim"""
VOLUME_OF = "vmpod.io/state-of"
"""Annotation of a claim that is filled with a state: the machine that it is for"""


def volume_name(machine: str) -> str:
    """What a snapshot calls the claim among the volumes of a machine."""
    return f"{PREFIX}{machine}"


def keeps_tpm(spec: Object) -> bool:
    """Whether what the TPM of a machine spec holds outlives the machine."""
    tpm = dig(spec, "domain", "devices").get("tpm")
    return isinstance(tpm, dict) and tpm.get("enabled") is not False and tpm.get("persistent") is True


def keeps_variables(spec: Object) -> bool:
    """Whether what UEFI stores for a machine spec outlives the machine."""
    return dig(spec, "domain", "firmware", "bootloader", "efi").get("persistent") is True


def keeps_state(spec: Object) -> bool:
    """Whether a machine spec needs a claim for its state."""
    return keeps_tpm(spec) or keeps_variables(spec)


def find_claim(machine: str, owner_uid: str, claims: list[Object]) -> Object | None:
    """The claim with the state of the machine of that name: its owner's own, or one that has no owner.

    One whose owner is gone goes with it, though a new machine has its name.
    """
    found = [one for one in claims if labels(one).get(LABEL) == machine and not is_deleting(one)]
    owners = {name(one): {str(each.get("uid")) for each in dig(one, "metadata").get("ownerReferences") or ()}
              for one in found}
    usable = [one for one in found if owner_uid in owners[name(one)] or not owners[name(one)]]
    return min(usable, key=lambda one: (owner_uid not in owners[name(one)], uid(one)), default=None)
