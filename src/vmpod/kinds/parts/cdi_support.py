"""Which fields of CDI's configuration are acted on: those of a CDIConfig, which a CDI repeats as `spec.config`."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.parts.reading import mapping
from vmpod.kinds.parts.support import ACTED, NOT_YET, Tree, unsupported

CONFIG: Tree = {
    "uploadProxyURLOverride": ACTED,
    "insecureRegistries": ACTED,
    "importProxy": ACTED,
    "preallocation": ACTED,
    "featureGates": ACTED,
}
_TRUE_GATES = ("HonorWaitForFirstConsumer",)  # what they ask for is so without them


def config_warnings(config: object, path: str) -> Iterator[str]:
    """What of a configuration is not acted on."""
    yield from unsupported(config, CONFIG, path)
    gates = mapping(config).get("featureGates")
    for number, gate in enumerate(gates if isinstance(gates, list) else ()):
        if gate not in _TRUE_GATES:
            yield f"{path}.featureGates[{number}]: {NOT_YET}"
