"""What the verbs share that make an object and wait until it is Ready."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vmpod.base.errors import Problem

if TYPE_CHECKING:
    from vmpod.client.simple import SimpleClient
    from vmpod.kinds.kind import Kind
    from vmpod.model.meta import Object

_LOOK_EVERY_S = 0.25
_OVER = ("Failed", "Skipped")
# It would be waited for, but who asks should know at once.
_VAIN = ("InUse", "VMNotFound", "VMSnapshotNotFound", "Pending")


def make(kind: Kind, name: str, space: str, spec: Object, what: str, timeout_s: float,
         marks: dict[str, str] | None = None) -> Object:  # fmt: skip
    """Create an object with the annotations `marks`, and the object once it is Ready. Raises Problem: refused, failed,
    or not done in time."""
    from vmpod.cli import session
    from vmpod.model.status import ApiError

    client = session.connect()
    meta: Object = {"name": name, "namespace": space} | ({"annotations": marks} if marks else {})
    try:
        client.create(kind, {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, "spec": spec})
    except ApiError as error:
        raise Problem(what, error.message, "vmpod status", error.reason) from None
    return _wait(client, kind, name, space, what, timeout_s)


def _wait(client: SimpleClient, kind: Kind, name: str, space: str, what: str, timeout_s: float) -> Object:
    deadline = time.monotonic() + timeout_s
    while True:
        found = client.get(kind, space, name)
        done, why = standing(found)
        if done:
            return found
        if done is False or time.monotonic() > deadline:
            fix = f"kubectl describe {kind.singular_name} {name} -n {space}"
            raise Problem(what, why or f"not done after {timeout_s:g} s", fix, "Timeout" if done is None else "Failed")
        time.sleep(_LOOK_EVERY_S)


def standing(obj: Object) -> tuple[bool | None, str]:
    """Whether an object is done (None: not yet, False: it has failed or will not be), and what its conditions say."""
    from vmpod.model import conditions
    from vmpod.model.meta import get

    held = get(obj, "status", "conditions", default=[])
    told = [one for kind in ("Failure", "Progressing", "Ready") if (one := conditions.find(held, kind))]
    why = str(told[0].get("message") or told[0].get("reason") or "") if told else ""
    if conditions.is_true(held, "Ready"):
        return True, ""
    ready = conditions.find(held, "Ready") or {}
    failed = get(obj, "status", "phase") in _OVER or conditions.is_true(held, "Failure") or ready.get("reason") in _VAIN
    return (False if failed else None), why
