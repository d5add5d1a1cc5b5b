"""The claim that keeps what UEFI and the TPM of an instance store (KubeVirt: backend storage)."""

from __future__ import annotations

from vmpod.client.cache import Cache
from vmpod.controllers.children import suffix
from vmpod.controllers.instancetypes import expanded
from vmpod.kinds import PERSISTENTVOLUMECLAIM
from vmpod.kinds.parts import machine_state
from vmpod.model.meta import Object, controller_of, get, name, namespace, owner_reference, uid
from vmpod.model.selectors import from_map


def seen_claim(vmi: Object, cache: Cache) -> Object | None:
    """The claim that is there for an instance; None where there is none or none is needed."""
    if not machine_state.keeps_state(get(vmi, "spec", default={})):
        return None
    wanted = from_map({machine_state.LABEL: name(vmi)})
    found = list(cache.list(PERSISTENTVOLUMECLAIM, namespace(vmi), wanted))
    return machine_state.find_claim(name(vmi), str(_owner(vmi)["uid"]), found)


def kept_claim(vm: Object, cache: Cache) -> Object | None:
    """The claim with the state of a machine that keeps one and has been started."""
    whole, _ = expanded(vm, cache)
    if not machine_state.keeps_state(get(whole, "spec", "template", "spec", default={})):
        return None
    found = list(cache.list(PERSISTENTVOLUMECLAIM, namespace(vm), from_map({machine_state.LABEL: name(vm)})))
    return machine_state.find_claim(name(vm), uid(vm), found)


def is_missing(vmi: Object, claim: Object | None) -> bool:
    """Whether the claim has to be made."""
    return claim is None and machine_state.keeps_state(get(vmi, "spec", default={}))


def new_claim(vmi: Object) -> Object:
    """The claim to make. It belongs to the machine, so that it outlives the instance; without one to the instance.

    Every node is this machine: it can be read and written from all of them.
    """
    owner = _owner(vmi)
    prefix = f"{machine_state.PREFIX}{name(vmi)}-"
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": prefix + suffix(owner["uid"]), "generateName": prefix, "namespace": namespace(vmi),
                     "labels": {machine_state.LABEL: name(vmi)}, "ownerReferences": [owner]},
        "spec": {"accessModes": ["ReadWriteMany"], "volumeMode": "Filesystem",
                 "resources": {"requests": {"storage": machine_state.SIZE}}},
    }


def _owner(vmi: Object) -> Object:
    owner = controller_of(vmi) or {}
    return dict(owner) if owner.get("kind") == "VirtualMachine" else owner_reference(vmi)


def with_row(rows: list[Object], claim: Object) -> list[Object]:
    """The volume rows of an instance's status with that of its state."""
    row = {"name": name(claim), "persistentVolumeClaimInfo": {"claimName": name(claim)}}
    return [*(one for one in rows if one.get("name") != name(claim)), row]
