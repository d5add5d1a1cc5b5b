"""Node."""

from __future__ import annotations

from vmpod.kinds.kind import Kind
from vmpod.kinds.parts.cells import NONE, cell, condition_status
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, entries, mapping, text
from vmpod.model.meta import Object
from vmpod.model.table import AGE, NAME

_ROLE_PREFIX = "node-role.kubernetes.io/"


def _status_cell(node: Object) -> str:
    ready = condition_status(node, "Ready")
    state = {"True": "Ready", None: "Unknown"}.get(ready, "NotReady")
    return f"{state},SchedulingDisabled" if dig(node, "spec").get("unschedulable") else state


def _roles_cell(node: Object) -> str:
    roles = set()
    for key, value in dig(node, "metadata", "labels").items():
        if key.startswith(_ROLE_PREFIX):
            roles.add(key.removeprefix(_ROLE_PREFIX))
        elif key == "kubernetes.io/role" and value:
            roles.add(value)
    return ",".join(sorted(roles)) or NONE


def _address(node: Object, type: str) -> str:
    found = (text(entry, "address") for entry in entries(node.get("status"), "addresses") if entry.get("type") == type)
    return next(found, NONE)


def _info(node: Object, key: str, missing: str = "<unknown>") -> str:
    return text(dig(node, "status", "nodeInfo"), key) or missing


def default(node: Object) -> Object:
    """What a node can give out is all it has, unless it says otherwise."""
    status = mapping(node.get("status"))
    if status.get("capacity") and status.get("allocatable") is None:
        status["allocatable"] = dict(mapping(status["capacity"]))
    return node


NODE = Kind(
    "", "v1", "Node", "nodes", False,
    short_names=("no",),
    columns=(
        NAME,
        cell("Status", _status_cell),
        cell("Roles", _roles_cell),
        AGE,
        cell("Version", lambda node: _info(node, "kubeletVersion", "")),
        cell("Internal-IP", lambda node: _address(node, "InternalIP"), wide=True),
        cell("External-IP", lambda node: _address(node, "ExternalIP"), wide=True),
        cell("OS-Image", lambda node: _info(node, "osImage"), wide=True),
        cell("Kernel-Version", lambda node: _info(node, "kernelVersion"), wide=True),
        cell("Container-Runtime", lambda node: _info(node, "containerRuntimeVersion"), wide=True),
    ),
    default=default,
    validate=metadata_rules(),
    subresources=frozenset({"status"}),
    selectable=("spec.unschedulable",),
)
