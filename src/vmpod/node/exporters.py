"""Which pods are exporter pods: they read claims, and nothing is run for them."""

from __future__ import annotations

from vmpod.model.meta import Object, controller_of, labels
from vmpod.model.meta import annotations as annotations_of
from vmpod.node.agent import SERVED_BY

SELECTOR = "kubevirt.io.virt-export-service"


def is_exporter(pod: Object) -> bool:
    owner = controller_of(pod) or {}
    return SERVED_BY in annotations_of(pod) and SELECTOR in labels(pod) and owner.get("kind") == "VirtualMachineExport"
