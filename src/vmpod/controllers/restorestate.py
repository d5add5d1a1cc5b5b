"""The claim with what UEFI and the TPM of a restored machine store: it takes the place of the machine's present one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vmpod.client.cache import Cache
from vmpod.controllers.children import metadata_patch
from vmpod.kinds import PERSISTENTVOLUMECLAIM
from vmpod.kinds.parts import machine_state
from vmpod.model.meta import Object, get, is_deleting, labels, name, namespace, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.model.selectors import from_map
from vmpod.reconcile.actions import Action

REPLACED = "restore.kubevirt.io/cleanup-backend-pvc"
"""Label of a claim that goes when the restore of that uid is complete"""


def seen(restore: Object, cache: Cache) -> tuple[Object, ...]:
    """The claims with the state of the target, and those that this restore has replaced."""
    target = str(get(restore, "spec", "target", "name", default=""))
    wanted = ({machine_state.LABEL: target}, {REPLACED: uid(restore)})
    where = namespace(restore)
    return tuple(claim for one in wanted for claim in cache.list(PERSISTENTVOLUMECLAIM, where, from_map(one)))


def moves(restore: Object, claims: Iterable[Object | None], present: Iterable[Object]) -> Iterator[Action]:
    """The labels by which a machine finds its state go from the present claims to the restored one."""
    target = get(restore, "spec", "target", "name")
    for claim in (one for one in claims if one is not None and machine_state.VOLUME_OF in annotations_of(one)):
        for old in present:
            if name(old) != name(claim) and machine_state.LABEL in labels(old):
                marks = {machine_state.LABEL: None, REPLACED: uid(restore)}
                yield metadata_patch(PERSISTENTVOLUMECLAIM, old, labels=marks)
        if labels(claim).get(machine_state.LABEL) != target:
            yield metadata_patch(PERSISTENTVOLUMECLAIM, claim, labels={machine_state.LABEL: target})


def replaced(restore: Object, present: Iterable[Object]) -> Iterator[Object]:
    """The claims that have been replaced."""
    return (one for one in present if labels(one).get(REPLACED) == uid(restore) and not is_deleting(one))
