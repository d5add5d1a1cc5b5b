"""GET …/objectgraph: the objects that a machine needs, as a tree (KubeVirt's ObjectGraphNode)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import orjson

from vmpod.api.call import Call
from vmpod.api.representation import body_response
from vmpod.api.subresources.virtualmachines import read_options
from vmpod.client.inprocess import Response
from vmpod.kinds import POD, VIRTUALMACHINE, VIRTUALMACHINEINSTANCE
from vmpod.kinds.kind import Kind
from vmpod.model import meta, selectors
from vmpod.model.meta import Object

_LABEL: Final = "kubevirt.io/dependency-type"
# kind → its group and what it is needed for
_KINDS: Final = {
    "VirtualMachine": ("kubevirt.io", "compute"), "VirtualMachineInstance": ("kubevirt.io", "compute"),
    "Pod": ("", "compute"), "DataVolume": ("cdi.kubevirt.io", "storage"), "PersistentVolumeClaim": ("", "storage"),
    "ConfigMap": ("", "config"), "Secret": ("", "config"), "ServiceAccount": ("", "config"),
    "ControllerRevision": ("apps", "config"), "NetworkAttachmentDefinition": ("k8s.cni.cncf.io", "network"),
    "VirtualMachineInstancetype": ("instancetype.kubevirt.io", "config"),
    "VirtualMachineClusterInstancetype": ("instancetype.kubevirt.io", "config"),
    "VirtualMachinePreference": ("instancetype.kubevirt.io", "config"),
    "VirtualMachineClusterPreference": ("instancetype.kubevirt.io", "config"),
}  # fmt: skip
_NAMED: Final = (("configMap", "name", "ConfigMap"), ("secret", "secretName", "Secret"),
                 ("serviceAccount", "serviceAccountName", "ServiceAccount"),
                 ("persistentVolumeClaim", "claimName", "PersistentVolumeClaim"))  # fmt: skip


def objectgraph(kind: Kind) -> Callable[[Call], Awaitable[Response]]:
    """Of a VirtualMachine, or of a VirtualMachineInstance alone. The options are in the body of the GET."""

    async def endpoint(call: Call) -> Response:
        about = call.about(kind, call.namespace, call.name)
        root: Object = orjson.loads(about.current().value)
        options = read_options(call)
        made = _node(kind.kind, call.name, call.namespace, _children(call, kind, root))
        return body_response(call, made | {"children": _filtered(made.get("children", []), options)})

    return endpoint


def _node(kind: str, name: str, namespace: str, children: list[Object] | None = None, *,
          optional: bool = False) -> Object:  # fmt: skip
    group, purpose = _KINDS[kind]
    node: Object = {
        "objectReference": {"apiGroup": group, "kind": kind, "name": name, "namespace": namespace},
        "labels": {_LABEL: purpose},
    }
    return node | ({"optional": True} if optional else {}) | ({"children": children} if children else {})


def _children(call: Call, kind: Kind, root: Object) -> list[Object]:
    pods = [_node("Pod", name, call.namespace) for name in _launcher(call)]
    if kind is VIRTUALMACHINEINSTANCE:
        return [*pods, *_of_spec(root.get("spec") or {}, call.namespace)]
    found = []
    if meta.get(root, "status", "created"):
        found.append(_node("VirtualMachineInstance", call.name, call.namespace, pods))
    found += _sizes(root, call.namespace)
    return [*found, *_of_spec(meta.get(root, "spec", "template", "spec", default={}), call.namespace)]


def _launcher(call: Call) -> list[str]:
    """The launcher pod of the machine of this name; none before it is made."""
    for record in call.store.list(POD.resource, call.namespace)[0]:
        owner = meta.controller_of(orjson.loads(record.value)) or {}
        if (owner.get("kind"), owner.get("name")) == ("VirtualMachineInstance", call.name):
            return [record.name]
    return []


def _sizes(vm: Object, namespace: str) -> Iterator[Object]:
    """Instancetype and preference, and the revisions of them that the machine was made from."""
    for field, default in (("instancetype", "VirtualMachineClusterInstancetype"),
                           ("preference", "VirtualMachineClusterPreference")):  # fmt: skip
        matcher = meta.get(vm, "spec", field)
        if not matcher:
            continue
        wanted = str(matcher.get("kind") or default).lower()
        kind = next((one for one in _KINDS if one.lower() == wanted), default)
        yield _node(kind, str(matcher.get("name", "")), "" if "Cluster" in kind else namespace, optional=True)
        revision = meta.get(vm, "status", f"{field}Ref", "controllerRevisionRef", "name") or matcher.get("revisionName")
        if revision:
            yield _node("ControllerRevision", str(revision), namespace)


def _of_spec(spec: Object, namespace: str) -> Iterator[Object]:
    for credential in spec.get("accessCredentials") or ():
        for way in ("sshPublicKey", "userPassword"):
            if secret := meta.get(credential, way, "source", "secret", "secretName"):
                yield _node("Secret", secret, namespace)
    for volume in spec.get("volumes") or ():
        yield from _of_volume(volume, namespace)
    for network in spec.get("networks") or ():
        if named := meta.get(network, "multus", "networkName"):
            where, _, name = str(named).rpartition("/")
            yield _node("NetworkAttachmentDefinition", name, where or namespace, optional=True)


def _of_volume(volume: Object, namespace: str) -> Iterator[Object]:
    if name := meta.get(volume, "dataVolume", "name"):
        yield _node("DataVolume", name, namespace, [_node("PersistentVolumeClaim", name, namespace)])
    for source, field, kind in _NAMED:
        if name := meta.get(volume, source, field):
            yield _node(kind, name, namespace)
    for source in ("cloudInitNoCloud", "cloudInitConfigDrive"):
        for field in ("secretRef", "networkDataSecretRef"):
            if name := meta.get(volume, source, field, "name"):
                yield _node("Secret", name, namespace)


def _filtered(nodes: list[Object], options: dict[str, Any]) -> list[Object]:
    """What the options leave of it: without optional nodes, and by label."""
    chosen = selectors.from_object(options["labelSelector"]) if options.get("labelSelector") else None
    kept = [node for node in nodes
            if not (node.get("optional") and options.get("includeOptionalNodes") is False)
            and (chosen is None or chosen.matches(node["labels"]))]  # fmt: skip
    return [node | ({"children": _filtered(node["children"], options)} if "children" in node else {}) for node in kept]


of_vm: Final = objectgraph(VIRTUALMACHINE)
of_vmi: Final = objectgraph(VIRTUALMACHINEINSTANCE)
