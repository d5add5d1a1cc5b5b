"""The KubeVirt object's configuration, as machines meet it when they are written (KubeVirt's mutating webhook)."""

from __future__ import annotations

import orjson

from vmpod.api.call import Backend, Call
from vmpod.kinds import KUBEVIRT, VIRTUALMACHINE, VIRTUALMACHINEINSTANCE
from vmpod.kinds.parts import kubevirt_config
from vmpod.kinds.parts.matchers import is_matched
from vmpod.kinds.parts.reading import mapping
from vmpod.model import meta, status
from vmpod.model.meta import Object


def configuration(backend: Backend) -> Object:
    """What `kubevirt/kubevirt` says, empty where it says nothing."""
    record = backend.store.get(KUBEVIRT.resource, kubevirt_config.NAMESPACE, kubevirt_config.NAME)
    return kubevirt_config.configuration_of(orjson.loads(record.value)) if record else {}


def complete(call: Call, obj: Object) -> None:
    """Give a new machine, before its kind's own defaults, those of the configuration. Raises ApiError 422."""
    if call.kind not in (VIRTUALMACHINE, VIRTUALMACHINEINSTANCE) or not (config := configuration(call.backend)):
        return
    own = mapping(obj.get("spec"))
    if call.kind is VIRTUALMACHINE:
        spec, path = mapping(mapping(own.get("template")).get("spec")), "spec.template.spec"
        if spec and not is_matched(own):  # a preference has its say about the board before
            kubevirt_config.fill_board(spec, config)
    else:
        spec, path = own, "spec"
        kubevirt_config.default_from(spec, meta.name(obj), config)
    if faults := list(kubevirt_config.machine_faults(spec, path, config)):
        raise status.invalid(f"{call.kind.kind}.{call.kind.group}", call.name, faults)
