"""The claims that a restore in place replaces: each goes, and one filled with the snapshot gets its name. Pure.

A DataVolume stays, so it is told first that its claim comes from elsewhere: else it would import again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from vmpod.controllers import restorestate
from vmpod.controllers.children import delete, is_controlled_by, metadata_patch
from vmpod.controllers.datavolumeclaim import PREPOPULATED
from vmpod.controllers.restored import LAST, RESTORE_NAME, mark
from vmpod.kinds import DATAVOLUME, PERSISTENTVOLUMECLAIM
from vmpod.model.meta import Object, get, is_deleting, name
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Action


def foreign(restore: Object, claims: Mapping[str, Object | None]) -> dict[str, Object]:
    """The claims that this restore has not made, by volume."""
    return {volume: claim for volume, claim in claims.items()
            if claim is not None and annotations_of(claim).get(LAST) != mark(restore)}  # fmt: skip


def may_replace(restore: Object, vm: Object | None, source: Object | None) -> bool:
    """Whether claims of the names are replaced: never under another machine than the target that is still there."""
    return get(restore, "spec", "volumeRestorePolicy") == "InPlace" and (vm is not None or source is None)


def removals(
    restore: Object, claims: Mapping[str, Object], volumes: Mapping[str, Object | None]
) -> Iterator[Action]:
    """The next steps to be rid of claims, whose DataVolumes stay. Both are by the name of the machine's volume."""
    for name_there, claim in claims.items():
        if is_deleting(claim):
            continue
        volume = volumes.get(name_there)
        if volume is not None and is_controlled_by(claim, volume) and not _is_kept(restore, volume):
            yield metadata_patch(DATAVOLUME, volume, annotations={RESTORE_NAME: name(restore), PREPOPULATED: "true"})
        else:
            yield delete(PERSISTENTVOLUMECLAIM, claim)


def obsolete(restore: Object, volumes: Iterable[Object], states: Iterable[Object]) -> tuple[Action, ...]:
    """The steps to be rid of the DataVolumes and claims that others replace, once all is restored."""
    if not get(restore, "status", "complete"):
        return ()
    gone = tuple(delete(DATAVOLUME, one) for one in volumes if not is_deleting(one))
    return (*gone, *(delete(PERSISTENTVOLUMECLAIM, one) for one in restorestate.replaced(restore, states)))


def kept(restore: Object, volumes: Mapping[str, Object | None]) -> dict[str, Object]:
    """The DataVolumes that wait for the claims which this restore makes."""
    return {one: found for one, found in volumes.items() if found is not None and _is_kept(restore, found)}


def _is_kept(restore: Object, volume: Object) -> bool:
    return annotations_of(volume).get(RESTORE_NAME) == name(restore)
