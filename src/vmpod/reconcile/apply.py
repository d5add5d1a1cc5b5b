"""The thin shell: executes one action of a plan through the client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from vmpod.client.client import Client
from vmpod.kinds.kind import Kind
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.model.status import ApiError
from vmpod.reconcile.actions import Action, Create, Delete, Patch, Replace


@dataclass(frozen=True)
class Written:
    """What a write did: the loop waits until its view shows it.

    `revision` is 0 when the answer told none; then the object with this uid is deleted or being so.
    """

    kind: Kind
    namespace: str
    name: str
    revision: int
    uid: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name


async def apply(client: Client, action: Action) -> Written | None:
    """Execute an action. None: there was nothing to do.

    Raises ApiError; a 409 Conflict means that the plan was made on an old view.
    """
    match action:
        case Create():
            return await _create(client, action)
        case Patch(kind, namespace, name, patch, subresource):
            obj = await client.patch(kind, namespace, name, patch, subresource=subresource)
            return written(kind, obj)
        case Replace(kind, obj, subresource):
            return written(kind, await client.update(kind, obj, subresource=subresource))
        case Delete():
            return await _delete(client, action)
        case _:
            assert_never(action)


def written(kind: Kind, obj: Object) -> Written:
    """What the answer of a write tells."""
    return Written(kind, meta.namespace(obj), meta.name(obj), meta.revision(obj), meta.uid(obj))


async def _create(client: Client, action: Create) -> Written:
    try:
        return written(action.kind, await client.create(action.kind, action.obj))
    except ApiError as error:
        if error.reason != "AlreadyExists" or not meta.name(action.obj):
            raise
        found = await client.get(action.kind, meta.namespace(action.obj), meta.name(action.obj))
        if not _same_controller(found, action.obj):
            raise error from None
        return written(action.kind, found)


def _same_controller(found: Object, wanted: Object) -> bool:
    owner = meta.controller_of(wanted)
    holder = meta.controller_of(found)
    return owner is not None and holder is not None and owner.get("uid") == holder.get("uid")


async def _delete(client: Client, action: Delete) -> Written | None:
    try:
        answer = await client.delete(
            action.kind, action.namespace, action.name,
            uid=action.uid, grace_s=action.grace_s, propagation=action.propagation,
        )  # fmt: skip
    except ApiError as error:
        if error.code == 404:
            return None
        raise
    revision = meta.revision(answer) if answer.get("kind") != "Status" else 0
    return Written(action.kind, action.namespace, action.name, revision, action.uid)
