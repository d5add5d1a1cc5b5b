"""How a machine moves: KubeVirt's own configuration, changed by the policy that fits the machine best. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

from vmpod.kinds.parts.kubevirt_config import migration_settings
from vmpod.model.meta import Object, get, labels, name

DEFAULTS = MappingProxyType({
    "allowAutoConverge": False, "allowPostCopy": False, "bandwidthPerMigration": "0", "completionTimeoutPerGiB": 150,
    "nodeDrainTaintKey": "kubevirt.io/drain", "parallelMigrationsPerCluster": 5,
    "parallelOutboundMigrationsPerNode": 2, "progressTimeout": 150, "unsafeMigrationOverride": False,
})  # fmt: skip
_SETTLED = ("allowAutoConverge", "bandwidthPerMigration", "completionTimeoutPerGiB")
_SELECTORS = ("namespaceSelector", "virtualMachineInstanceSelector")


def matching(policies: Iterable[Object], vmi: Object, namespace: Object | None) -> Object | None:
    """The policy whose selectors name the most labels of the machine and its namespace; of equals the first by name."""
    found = [(-count, name(one), one) for one in policies if (count := _matches(one, vmi, namespace)) is not None]
    return min(found, key=lambda one: one[:2])[2] if found else None


def _matches(policy: Object, vmi: Object, namespace: Object | None) -> int | None:
    """How many labels a policy's selectors name, all of them borne; None where one is not, or none is named."""
    wanted = [get(policy, "spec", "selectors", key, default={}) for key in _SELECTORS]
    borne = (labels(namespace or {}), labels(vmi))
    if all(rule.items() <= there.items() for rule, there in zip(wanted, borne, strict=True)):
        return sum(map(len, wanted)) or None
    return None


def configuration(policy: Object | None, cluster: Object | None = None) -> Object:
    """What applies to a machine with this policy, on top of what the KubeVirt object (`cluster`) says of all.

    What a policy may allow and is not done here stays forbidden.
    """
    given = {key: get(policy, "spec", key) for key in _SETTLED}
    told = {key: value for key, value in given.items() if value is not None}
    return {**DEFAULTS, **migration_settings(cluster or {}), **told}
