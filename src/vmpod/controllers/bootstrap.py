"""What a new home holds before the first command: namespaces, the classes of storage, instance types, preferences."""

from __future__ import annotations

from vmpod.client.client import Client
from vmpod.controllers.commontypes import instancetypes, preferences
from vmpod.kinds import (
    NAMESPACE,
    STORAGECLASS,
    VIRTUALMACHINECLUSTERINSTANCETYPE,
    VIRTUALMACHINECLUSTERPREFERENCE,
    VOLUMESNAPSHOTCLASS,
)
from vmpod.kinds.kind import Kind
from vmpod.model.meta import Object
from vmpod.model.status import ApiError

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease", "kubevirt", "cdi")
STORAGE_CLASS: Object = {
    "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
    "metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "vmpod.io/local", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate",
    "allowVolumeExpansion": True,
}  # fmt: skip
WAITING_CLASS: Object = {
    "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "local-wait"},
    "provisioner": "vmpod.io/local", "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer",
    "allowVolumeExpansion": True,
}  # fmt: skip
SNAPSHOT_CLASS: Object = {
    "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotClass",
    "metadata": {"name": "local", "annotations": {"snapshot.storage.kubernetes.io/is-default-class": "true"}},
    "driver": "vmpod.io/local", "deletionPolicy": "Delete",
}  # fmt: skip


async def bootstrap(client: Client) -> None:
    """Create what is missing; what exists stays as the user made it. Raises ApiError when the API refuses."""
    for one in NAMESPACES:
        await _ensure(client, NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}})
    for made in (STORAGE_CLASS, WAITING_CLASS):
        await _ensure(client, STORAGECLASS, made)
    await _ensure(client, VOLUMESNAPSHOTCLASS, SNAPSHOT_CLASS)
    await _ensure_types(client)


async def _ensure_types(client: Client) -> None:
    """What a user took away from a home stays away: only a home that has none of a kind gets them."""
    made = {VIRTUALMACHINECLUSTERINSTANCETYPE: instancetypes, VIRTUALMACHINECLUSTERPREFERENCE: preferences}
    for kind, objects in made.items():
        if not (await client.list(kind)).items:
            for obj in objects():
                await _ensure(client, kind, obj)


async def _ensure(client: Client, kind: Kind, obj: Object) -> None:
    try:
        await client.create(kind, obj)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
