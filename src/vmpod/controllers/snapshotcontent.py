"""What a snapshot keeps: the machine as it was written, and the claims of its disks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

from vmpod.controllers import snapshotrevisions
from vmpod.kinds import VIRTUALMACHINESNAPSHOTCONTENT
from vmpod.kinds.parts import snapshot_memory
from vmpod.kinds.parts.matchers import is_matched
from vmpod.kinds.parts.reading import dig, section
from vmpod.kinds.virtualmachinesnapshotcontent import PROTECTION
from vmpod.model.meta import Object, get, labels, name, namespace, uid
from vmpod.model.meta import annotations as annotations_of


def content_name(snapshot: Object) -> str:
    return f"vmsnapshot-content-{uid(snapshot)}"


def new_content(
    snapshot: Object, vm: Object, claims: Mapping[str, Object | None], started: Object | None,
    wanted: tuple[snapshotrevisions.Copy, ...],
) -> Object:
    """The content to make. `started` is the revision that a running machine was made from, `wanted` name the copies of
    what its matchers were kept as."""
    volumes = [{"volumeName": volume, "volumeSnapshotName": f"vmsnapshot-{uid(snapshot)}-volume-{volume}",
                "persistentVolumeClaim": {"metadata": _identity(claim), "spec": deepcopy(claim["spec"])}}
               for volume, claim in claims.items() if claim is not None]  # fmt: skip
    machine = {"metadata": _identity(vm), "spec": _machine_spec(vm, started, wanted), "status": {}}
    return {
        "apiVersion": VIRTUALMACHINESNAPSHOTCONTENT.api_version, "kind": "VirtualMachineSnapshotContent",
        "metadata": {"name": content_name(snapshot), "namespace": namespace(snapshot),
                     "finalizers": [PROTECTION], "annotations": snapshot_memory.passed_on(snapshot)},
        "spec": {"virtualMachineSnapshotName": name(snapshot), "volumeBackups": volumes,
                 "source": {"virtualMachine": machine}},
    }


def _machine_spec(vm: Object, started: Object | None, wanted: tuple[snapshotrevisions.Copy, ...]) -> Object:
    """The machine as it is; of one that runs as it was started, with the disks that it has now.

    What is kept of a start says itself what an instance type says: a machine that has one is taken as it is.
    """
    spec: Object = deepcopy(vm["spec"])
    if wanted:
        return snapshotrevisions.pointed(spec, wanted)
    before = deepcopy(get(started, "data", "spec"))
    if not before or is_matched(before) or is_matched(spec):
        return spec
    kept, now = section(before, "template", "spec"), dig(spec, "template", "spec")
    for holder, key, value in (
        (kept, "volumes", now.get("volumes")),
        (section(kept, "domain", "devices"), "disks", dig(now, "domain", "devices").get("disks")),
        (before, "dataVolumeTemplates", spec.get("dataVolumeTemplates")),
    ):  # fmt: skip
        holder.pop(key, None)
        if value is not None:
            holder[key] = value
    return dict(before)


def _identity(obj: Object) -> Object:
    found: Object = {"name": name(obj), "namespace": namespace(obj), "uid": uid(obj)}
    return found | {"labels": dict(labels(obj)), "annotations": dict(annotations_of(obj))}
