"""What each kind is: one file per kind, one line per kind in the tuple KINDS."""

from __future__ import annotations

from vmpod.kinds.cdi import CDI
from vmpod.kinds.cdiconfig import CDICONFIG
from vmpod.kinds.configmap import CONFIGMAP
from vmpod.kinds.controllerrevision import CONTROLLERREVISION
from vmpod.kinds.dataimportcron import DATAIMPORTCRON
from vmpod.kinds.datasource import DATASOURCE
from vmpod.kinds.datavolume import DATAVOLUME
from vmpod.kinds.deployment import DEPLOYMENT
from vmpod.kinds.endpoints import ENDPOINTS
from vmpod.kinds.endpointslice import ENDPOINTSLICE
from vmpod.kinds.event import EVENT
from vmpod.kinds.kind import Kind
from vmpod.kinds.kubevirt import KUBEVIRT
from vmpod.kinds.lease import LEASE
from vmpod.kinds.migrationpolicy import MIGRATIONPOLICY
from vmpod.kinds.namespace import NAMESPACE
from vmpod.kinds.networkattachmentdefinition import NETWORKATTACHMENTDEFINITION
from vmpod.kinds.node import NODE
from vmpod.kinds.objecttransfer import OBJECTTRANSFER
from vmpod.kinds.persistentvolume import PERSISTENTVOLUME
from vmpod.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from vmpod.kinds.pod import POD
from vmpod.kinds.replicaset import REPLICASET
from vmpod.kinds.secret import SECRET
from vmpod.kinds.service import SERVICE
from vmpod.kinds.serviceaccount import SERVICEACCOUNT
from vmpod.kinds.storageclass import STORAGECLASS
from vmpod.kinds.storageprofile import STORAGEPROFILE
from vmpod.kinds.virtualmachine import VIRTUALMACHINE
from vmpod.kinds.virtualmachineclone import VIRTUALMACHINECLONE
from vmpod.kinds.virtualmachineclusterinstancetype import VIRTUALMACHINECLUSTERINSTANCETYPE
from vmpod.kinds.virtualmachineclusterpreference import VIRTUALMACHINECLUSTERPREFERENCE
from vmpod.kinds.virtualmachineexport import VIRTUALMACHINEEXPORT
from vmpod.kinds.virtualmachineinstance import VIRTUALMACHINEINSTANCE
from vmpod.kinds.virtualmachineinstancemigration import VIRTUALMACHINEINSTANCEMIGRATION
from vmpod.kinds.virtualmachineinstancepreset import VIRTUALMACHINEINSTANCEPRESET
from vmpod.kinds.virtualmachineinstancereplicaset import VIRTUALMACHINEINSTANCEREPLICASET
from vmpod.kinds.virtualmachineinstancetype import VIRTUALMACHINEINSTANCETYPE
from vmpod.kinds.virtualmachinepool import VIRTUALMACHINEPOOL
from vmpod.kinds.virtualmachinepreference import VIRTUALMACHINEPREFERENCE
from vmpod.kinds.virtualmachinerestore import VIRTUALMACHINERESTORE
from vmpod.kinds.virtualmachinesnapshot import VIRTUALMACHINESNAPSHOT
from vmpod.kinds.virtualmachinesnapshotcontent import VIRTUALMACHINESNAPSHOTCONTENT
from vmpod.kinds.volumeclonesource import VOLUMECLONESOURCE
from vmpod.kinds.volumeimportsource import VOLUMEIMPORTSOURCE
from vmpod.kinds.volumesnapshot import VOLUMESNAPSHOT
from vmpod.kinds.volumesnapshotclass import VOLUMESNAPSHOTCLASS
from vmpod.kinds.volumesnapshotcontent import VOLUMESNAPSHOTCONTENT
from vmpod.kinds.volumeuploadsource import VOLUMEUPLOADSOURCE
from vmpod.model.meta import Object

KINDS: tuple[Kind, ...] = (
    NAMESPACE,
    NODE,
    POD,
    SERVICE,
    ENDPOINTS,
    ENDPOINTSLICE,
    CONFIGMAP,
    SECRET,
    SERVICEACCOUNT,
    PERSISTENTVOLUMECLAIM,
    PERSISTENTVOLUME,
    STORAGECLASS,
    EVENT,
    DEPLOYMENT,
    REPLICASET,
    CONTROLLERREVISION,
    LEASE,
    VIRTUALMACHINE,
    VIRTUALMACHINEINSTANCE,
    VIRTUALMACHINEINSTANCEREPLICASET,
    VIRTUALMACHINEINSTANCEMIGRATION,
    MIGRATIONPOLICY,
    VIRTUALMACHINEPOOL,
    VIRTUALMACHINEINSTANCEPRESET,
    VIRTUALMACHINEINSTANCETYPE,
    VIRTUALMACHINECLUSTERINSTANCETYPE,
    VIRTUALMACHINEPREFERENCE,
    VIRTUALMACHINECLUSTERPREFERENCE,
    VIRTUALMACHINESNAPSHOT,
    VIRTUALMACHINESNAPSHOTCONTENT,
    VIRTUALMACHINERESTORE,
    VIRTUALMACHINECLONE,
    VIRTUALMACHINEEXPORT,
    DATAVOLUME,
    DATASOURCE,
    DATAIMPORTCRON,
    STORAGEPROFILE,
    VOLUMEIMPORTSOURCE,
    VOLUMEUPLOADSOURCE,
    VOLUMECLONESOURCE,
    OBJECTTRANSFER,
    VOLUMESNAPSHOT,
    VOLUMESNAPSHOTCONTENT,
    VOLUMESNAPSHOTCLASS,
    KUBEVIRT,
    CDI,
    CDICONFIG,
    NETWORKATTACHMENTDEFINITION,
)

_BY_PLURAL = {(kind.group, version, kind.plural): kind for kind in KINDS for version in kind.versions}
_BY_KIND = {(kind.group, version, kind.kind): kind for kind in KINDS for version in kind.versions}


def find(group: str, version: str, plural: str) -> Kind | None:
    """The kind served at /apis/GROUP/VERSION/PLURAL (group "" for /api)."""
    return _BY_PLURAL.get((group, version, plural))


def for_kind(api_version: str, kind: str) -> Kind | None:
    """The kind named by an object's `apiVersion` and `kind`, in any served version."""
    group, _, version = api_version.rpartition("/")
    return _BY_KIND.get((group, version, kind))


def for_object(obj: Object) -> Kind | None:
    """The kind that an object says it is."""
    return for_kind(str(obj.get("apiVersion") or ""), str(obj.get("kind") or ""))


__all__ = [
    "CDI",
    "CDICONFIG",
    "CONFIGMAP",
    "CONTROLLERREVISION",
    "DATAIMPORTCRON",
    "DATASOURCE",
    "DATAVOLUME",
    "DEPLOYMENT",
    "ENDPOINTS",
    "ENDPOINTSLICE",
    "EVENT",
    "KINDS",
    "KUBEVIRT",
    "LEASE",
    "MIGRATIONPOLICY",
    "NAMESPACE",
    "NETWORKATTACHMENTDEFINITION",
    "NODE",
    "OBJECTTRANSFER",
    "PERSISTENTVOLUME",
    "PERSISTENTVOLUMECLAIM",
    "POD",
    "REPLICASET",
    "SECRET",
    "SERVICE",
    "SERVICEACCOUNT",
    "STORAGECLASS",
    "STORAGEPROFILE",
    "VIRTUALMACHINE",
    "VIRTUALMACHINECLONE",
    "VIRTUALMACHINECLUSTERINSTANCETYPE",
    "VIRTUALMACHINECLUSTERPREFERENCE",
    "VIRTUALMACHINEEXPORT",
    "VIRTUALMACHINEINSTANCE",
    "VIRTUALMACHINEINSTANCEMIGRATION",
    "VIRTUALMACHINEINSTANCEPRESET",
    "VIRTUALMACHINEINSTANCEREPLICASET",
    "VIRTUALMACHINEINSTANCETYPE",
    "VIRTUALMACHINEPOOL",
    "VIRTUALMACHINEPREFERENCE",
    "VIRTUALMACHINERESTORE",
    "VIRTUALMACHINESNAPSHOT",
    "VIRTUALMACHINESNAPSHOTCONTENT",
    "VOLUMECLONESOURCE",
    "VOLUMEIMPORTSOURCE",
    "VOLUMESNAPSHOT",
    "VOLUMESNAPSHOTCLASS",
    "VOLUMESNAPSHOTCONTENT",
    "VOLUMEUPLOADSOURCE",
    "Kind",
    "find",
    "for_kind",
    "for_object",
]
