"""The service account of a new pod, and the volume of its token: k8s.io/kubernetes' admission plugin ServiceAccount."""

from __future__ import annotations

import random
from typing import Final

import orjson

from vmpod.api.call import Call
from vmpod.kinds import SERVICEACCOUNT
from vmpod.kinds.parts.api_access import MOUNT_PATH, PREFIX, api_access
from vmpod.kinds.parts.pod_defaults import all_containers
from vmpod.kinds.parts.reading import entries
from vmpod.model import meta, names, status
from vmpod.model.meta import Object

_DEFAULT: Final = "default"
_rng = random.SystemRandom()


def admit(call: Call, pod: Object) -> None:
    """Complete a pod in place. Raises ApiError 403 for an account that is not there.

    The account `default` may be on its way, for a controller makes it after the namespace: its pods wait for it.
    """
    spec = pod["spec"]
    wanted = spec["serviceAccountName"] = spec.get("serviceAccountName") or _DEFAULT
    spec["serviceAccount"] = wanted
    account = _account(call, wanted)
    if account is None and wanted != _DEFAULT:
        missing = f"serviceaccount {status.quote(wanted)} not found"
        why = f"error looking up service account {call.namespace}/{wanted}: {missing}"
        raise status.forbidden("pods", meta.name(pod) or call.name, why)
    if _is_mounted(spec, account or {}):
        _mount(spec)


def _account(call: Call, name: str) -> Object | None:
    record = call.store.get(SERVICEACCOUNT.resource, call.namespace, name)
    return orjson.loads(record.value) if record else None


def _is_mounted(spec: Object, account: Object) -> bool:
    """What the pod says counts before what the account says."""
    for said in (spec.get("automountServiceAccountToken"), account.get("automountServiceAccountToken")):
        if said is not None:
            return bool(said)
    return True


def _mount(spec: Object) -> None:
    """Into every container that has nothing there yet."""
    bare = [one for one in all_containers(spec) if MOUNT_PATH not in _mount_paths(one)]
    if not bare:
        return
    name = f"{PREFIX}{names.suffix(_rng)}"
    spec["volumes"] = [*(spec.get("volumes") or ()), {"name": name, "projected": api_access()}]
    for one in bare:
        mount = {"name": name, "mountPath": MOUNT_PATH, "readOnly": True}
        one["volumeMounts"] = [*(one.get("volumeMounts") or ()), mount]


def _mount_paths(container: Object) -> list[object]:
    return [one.get("mountPath") for one in entries(container, "volumeMounts")]
