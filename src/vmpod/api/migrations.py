"""What a new migration has to pass: checks that need other objects, in the words of KubeVirt's webhook."""

from __future__ import annotations

from typing import Final

import orjson

from vmpod.api.call import Call
from vmpod.kinds import VIRTUALMACHINEINSTANCE, VIRTUALMACHINEINSTANCEMIGRATION
from vmpod.kinds.parts.migration import FINAL, MACHINE, MIGRATABLE
from vmpod.model import conditions, meta, status
from vmpod.model.meta import Object

_DENIED: Final = 'admission webhook "migration-create-validator.kubevirt.io" denied the request: '


def admit(call: Call, migration: Object) -> None:
    """Raises ApiError 400 for a machine that is missing, has ended, cannot move or is moving."""
    wanted = str(meta.get(migration, "spec", "vmiName", default=""))
    if wanted and (why := _fault(call, wanted)):
        raise status.bad_request(_DENIED + why)


def _fault(call: Call, wanted: str) -> str:
    record = call.store.get(VIRTUALMACHINEINSTANCE.resource, call.namespace, wanted)
    if record is None:
        return f'the VMI "{call.namespace}/{wanted}" does not exist'
    machine: Object = orjson.loads(record.value)
    if meta.get(machine, "status", "phase") in FINAL:
        return "Cannot migrate VMI in finalized state."
    return cannot_move(machine) or _conflict(call, wanted)


def cannot_move(machine: Object) -> str:
    """Why a machine does not move at all, by its condition LiveMigratable; empty when nothing speaks against it."""
    found = conditions.find(meta.get(machine, "status", "conditions", default=[]), MIGRATABLE) or {}
    if found.get("status") != "False":
        return ""
    return f"Cannot migrate VMI, Reason: {found.get('reason', '')}, Message: {found.get('message', '')}"


def _conflict(call: Call, wanted: str) -> str:
    for record in call.store.list(VIRTUALMACHINEINSTANCEMIGRATION.resource, call.namespace)[0]:
        other: Object = orjson.loads(record.value)
        if meta.labels(other).get(MACHINE) == wanted and meta.get(other, "status", "phase") not in FINAL:
            return (f"in-flight migration detected. Active migration job ({meta.uid(other)}) is currently already in "
                    f"progress for VMI {wanted}.")  # fmt: skip
    return ""
