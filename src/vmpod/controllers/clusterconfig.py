"""The configuration of the KubeVirt object, for whoever decides by it."""

from __future__ import annotations

from vmpod.client.cache import Cache
from vmpod.kinds import KUBEVIRT
from vmpod.kinds.parts import kubevirt_config
from vmpod.model.meta import Object


def configuration(cache: Cache) -> Object:
    """What `kubevirt/kubevirt` says, empty where it says nothing."""
    return kubevirt_config.configuration_of(cache.get(KUBEVIRT, kubevirt_config.NAMESPACE, kubevirt_config.NAME))
