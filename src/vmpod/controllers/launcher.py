"""The launcher Pod of a VirtualMachineInstance, with the labels and resources that KubeVirt gives it.

It is a promise to the scheduler and a thing for `kubectl get pods`; the machine itself is made from the VMI.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any

from vmpod.controllers import pods
from vmpod.controllers.children import child_metadata, metadata_patch, suffix
from vmpod.kinds import POD
from vmpod.kinds.parts import console_log, kernel_boot
from vmpod.kinds.parts.kubevirt_config import CPU_RATIO
from vmpod.kinds.parts.machine_networks import pod_interface
from vmpod.kinds.parts.machine_state import VOLUME as STATE
from vmpod.kinds.parts.migration import JOB, MOVES_FROM
from vmpod.model import quantity
from vmpod.model.meta import Object, get, is_deleting, name, namespace, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Action

IMAGE = "vmpod/virt-launcher"
JOB_NAME = "kubevirt.io/migrationJobName"
DEFAULT_GRACE_S = 30
_LAUNCHER_GRACE_S = 15  # the launcher outlives its guest by this much (KubeVirt: gracePeriodSeconds + 15)
_MEBIBYTE = 2**20
_COPIED = ("nodeSelector", "affinity", "tolerations", "topologySpreadConstraints", "schedulerName",
           "priorityClassName", "dnsPolicy", "dnsConfig", "subdomain")
_PRIVATE_ANNOTATIONS = ("kubectl.kubernetes.io/last-applied-configuration",)
NETWORKS = "k8s.v1.cni.cncf.io/networks"
_DISKS = "/var/run/kubevirt-private/vmi-disks"
_STATE = "/var/lib/libvirt/vm-state"


def pod_name(vmi: Object) -> str:
    """One name per instance: a second launcher of the same instance cannot exist."""
    return f"virt-launcher-{name(vmi)}-{suffix(uid(vmi))}"


def launcher_pod(vmi: Object, image: str, state: str = "", ratio: int = CPU_RATIO) -> Object:
    """The Pod to create for an instance whose volumes are ready; `state` is the claim of what it keeps beside them.

    `ratio` vCPUs share a CPU unless the instance says how many it wants (KubeVirt: cpuAllocationRatio).
    """
    made: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(vmi), "spec": _spec(vmi, image, ratio)}
    if state:
        made["spec"]["volumes"].append({"name": STATE, "persistentVolumeClaim": {"claimName": state}})
        made["spec"]["containers"][0]["volumeMounts"].append({"name": STATE, "mountPath": _STATE})
    return made


def target_pod(vmi: Object, migration: Object, source: Object, ratio: int = CPU_RATIO) -> Object:
    """The Pod that an instance moves to: on another node than the one it comes from, where there are several."""
    kept = (get(one, "persistentVolumeClaim", "claimName") for one in get(source, "spec", "volumes", default=())
            if one["name"] == STATE)  # fmt: skip
    pod = launcher_pod(vmi, IMAGE, next(kept, ""), ratio)
    meta, spec = pod["metadata"], pod["spec"]
    meta["name"] = f"virt-launcher-{name(vmi)}-{suffix(uid(migration))}"
    meta["labels"][JOB] = uid(migration)
    meta["annotations"] |= {JOB_NAME: name(migration), MOVES_FROM: uid(source)}
    if selector := get(migration, "spec", "addedNodeSelector", default={}) | spec.get("nodeSelector", {}):
        spec["nodeSelector"] = selector
    term = {"labelSelector": {"matchLabels": {"kubevirt.io/created-by": uid(vmi)}},
            "topologyKey": "kubernetes.io/hostname"}  # fmt: skip
    affinity = deepcopy(spec.get("affinity") or {})
    rules = affinity.setdefault("podAntiAffinity", {}).setdefault("requiredDuringSchedulingIgnoredDuringExecution", [])
    rules.append(term)
    spec["affinity"] = affinity
    return pod


def placement(pod: Object) -> Object:
    """What an instance's status tells of its launcher."""
    node = str(get(pod, "spec", "nodeName", default=""))
    image = str(get(pod, "spec", "containers", 0, "image", default=""))
    placed: Object = {"activePods": {uid(pod): node}, "launcherContainerImageVersion": image}
    if node:
        placed["nodeName"] = node
    if quality := get(pod, "status", "qosClass"):
        placed["qosClass"] = quality
    return placed


def grace_s(vmi: Object) -> int:
    """Seconds between the wish to stop and the end of the launcher."""
    return int(get(vmi, "spec", "terminationGracePeriodSeconds", default=DEFAULT_GRACE_S)) + _LAUNCHER_GRACE_S


def vcpus(vmi: Object) -> int:
    """Sockets × cores × threads; else what the resources ask for, at least one."""
    cpu = get(vmi, "spec", "domain", "cpu", default={})
    if any(cpu.get(key) for key in ("sockets", "cores", "threads")):
        return int(cpu.get("sockets") or 1) * int(cpu.get("cores") or 1) * int(cpu.get("threads") or 1)
    wanted = _resource(vmi, "limits", "cpu") or _resource(vmi, "requests", "cpu")
    return max(1, -(-quantity.to_milli(wanted) // 1000)) if wanted else 1


def guest_memory_bytes(vmi: Object) -> int:
    """What the guest is given: memory.guest, else the request, else the limit; 0 when nothing says."""
    wanted = (get(vmi, "spec", "domain", "memory", "guest") or _resource(vmi, "requests", "memory")
              or _resource(vmi, "limits", "memory"))
    return quantity.to_bytes(wanted) if wanted else 0


def overhead_bytes(vmi: Object) -> int:
    """Memory that QEMU needs beside the guest's: page tables by size, stacks by vCPU, the video memory.

    KubeVirt adds 190 MiB more for its own processes in the pod, which do not exist here.
    """
    graphics = get(vmi, "spec", "domain", "devices", "autoattachGraphicsDevice", default=True)
    return guest_memory_bytes(vmi) // 512 + (58 + 8 * vcpus(vmi) + (32 if graphics else 0)) * _MEBIBYTE


def _resource(vmi: Object, list_name: str, key: str) -> Any:
    return get(vmi, "spec", "domain", "resources", list_name, key)


def _metadata(vmi: Object) -> Object:
    meta = child_metadata(vmi, pod_name(vmi), vmi)
    meta.pop("finalizers", None)
    meta["generateName"] = f"virt-launcher-{name(vmi)}-"
    meta["labels"] = {
        **meta.get("labels", {}), "kubevirt.io": "virt-launcher", "kubevirt.io/created-by": uid(vmi),
        "vm.kubevirt.io/name": name(vmi), "vmi.kubevirt.io/id": name(vmi),
    }
    kept = {key: text for key, text in meta.get("annotations", {}).items() if key not in _PRIVATE_ANNOTATIONS}
    meta["annotations"] = {**kept, "kubevirt.io/domain": name(vmi),
                           "kubectl.kubernetes.io/default-container": "compute"}
    if networks := _networks_text(vmi):
        meta["annotations"][NETWORKS] = networks
    return meta


def rewired(vmi: Object, launchers: Iterable[Object]) -> Iterator[Action]:
    """The networks of launchers follow the cards that come and go while the machine runs."""
    wanted = _networks_text(vmi)
    for pod in launchers:
        if not (is_deleting(pod) or pods.is_terminal(pod)) and annotations_of(pod).get(NETWORKS, "") != wanted:
            yield metadata_patch(POD, pod, annotations={NETWORKS: wanted or None})


def _networks_text(vmi: Object) -> str:
    """The annotation that asks Multus for the further networks; empty without any."""
    found = _networks(vmi)
    return json.dumps(found, separators=(",", ":")) if found else ""


def _networks(vmi: Object) -> list[Object]:
    """The further networks, each under the interface name that KubeVirt derives; one that is absent as long as the
    machine still has its card."""
    shown = {one.get("name") for one in get(vmi, "status", "interfaces", default=())}
    cards = {card["name"]: card for card in get(vmi, "spec", "domain", "devices", "interfaces", default=())}
    found = []
    for network in get(vmi, "spec", "networks", default=()):
        card, wanted = cards.get(network["name"], {}), get(network, "multus", "networkName")
        if not wanted or (card.get("state") == "absent" and network["name"] not in shown):
            continue
        where, _, plain = str(wanted).rpartition("/")
        one = {"name": plain, "namespace": where or namespace(vmi), "interface": pod_interface(network["name"])}
        found.append(one | ({"mac": card["macAddress"]} if card.get("macAddress") else {}))
    return found


def _spec(vmi: Object, image: str, ratio: int) -> Object:
    spec = vmi.get("spec") or {}
    volumes = [pair for volume in spec.get("volumes") or () if (pair := _volume(volume))]
    kernel = get(kernel_boot.kernel_boot(spec), "container", default={})
    if kernel:
        volumes.append(_image_volume({"name": kernel_boot.VOLUME}, kernel))
    made: Object = {key: spec[key] for key in _COPIED if spec.get(key)}
    made |= {
        "containers": [_compute(vmi, image, volumes, ratio)],
        "volumes": volumes,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": grace_s(vmi),
        "hostname": spec.get("hostname") or name(vmi).replace(".", "-")[:63].rstrip("-"),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
    }
    if console_log.is_kept(spec):
        made["initContainers"] = [_console_log(image)]
    images = [kernel, *(get(volume, "containerDisk", default={}) for volume in spec.get("volumes") or ())]
    secrets = sorted({secret for one in images if (secret := one.get("imagePullSecret"))})
    if account := next((get(one, "serviceAccount", "serviceAccountName") for one in spec.get("volumes") or ()
                        if "serviceAccount" in one), ""):
        made["serviceAccountName"] = account
    return made | ({"imagePullSecrets": [{"name": secret} for secret in secrets]} if secrets else {})


def _compute(vmi: Object, image: str, volumes: list[Object], ratio: int) -> Object:
    container: Object = {
        "name": "compute", "image": image, "imagePullPolicy": "IfNotPresent", "resources": _resources(vmi, ratio),
        "volumeMounts": [{"name": one["name"], "mountPath": f"{_DISKS}/{one['name']}"} for one in volumes],
    }
    ports = [
        {"name": port["name"]} | bare if port.get("name") else bare
        for interface in get(vmi, "spec", "domain", "devices", "interfaces", default=())
        for port in interface.get("ports") or ()
        for bare in [{"containerPort": port["port"], "protocol": port.get("protocol") or "TCP"}]
    ]
    return container | ({"ports": ports} if ports else {})


def _console_log(image: str) -> Object:
    """A sidecar to name the log by; it asks for nothing, for nothing runs in it."""
    return {"name": console_log.CONTAINER, "image": image, "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always"}


def _resources(vmi: Object, ratio: int) -> Object:
    extra, guest = overhead_bytes(vmi), guest_memory_bytes(vmi)
    resources = get(vmi, "spec", "domain", "resources", default={})
    asked = _resource(vmi, "requests", "memory")
    memory = (quantity.to_bytes(asked) if asked else guest) + (0 if resources.get("overcommitGuestOverhead") else extra)
    requests: Object = {"cpu": _cpu_request(vmi, ratio)} | ({"memory": quantity.format_bytes(memory)} if guest else {})
    limits: Object = {}
    if (limit := _resource(vmi, "limits", "memory")) is not None:
        limits["memory"] = quantity.format_bytes(quantity.to_bytes(limit) + extra)
    if (limit := _resource(vmi, "limits", "cpu")) is not None:
        limits["cpu"] = limit
    if get(vmi, "spec", "domain", "cpu", "dedicatedCpuPlacement"):
        isolated = bool(get(vmi, "spec", "domain", "cpu", "isolateEmulatorThread"))
        limits["cpu"] = requests["cpu"] = str(vcpus(vmi) + isolated)
        limits |= {"memory": requests["memory"]} if "memory" in requests else {}
    return {"requests": requests} | ({"limits": limits} if limits else {})


def _cpu_request(vmi: Object, ratio: int) -> str:
    asked = _resource(vmi, "requests", "cpu") or _resource(vmi, "limits", "cpu")
    return str(asked) if asked else quantity.format_milli(vcpus(vmi) * 1000 // ratio)


def _volume(volume: Object) -> Object | None:
    """The pod's volume behind a VMI's; None for what is made inside the launcher (cloud-init, emptyDisk …)."""
    made: Object = {"name": volume["name"]}
    if claim := claim_name(volume):
        return made | {"persistentVolumeClaim": {"claimName": claim}}
    if disk := volume.get("containerDisk"):
        return _image_volume(made, disk)
    if disk := volume.get("hostDisk"):
        folder = str(disk["path"]).rpartition("/")[0] or "/"
        return made | {"hostPath": {"path": folder, "type": "DirectoryOrCreate"}}
    return _mounted_object(volume, made)


def _image_volume(made: Object, source: Object) -> Object:
    policy = {"pullPolicy": source["imagePullPolicy"]} if source.get("imagePullPolicy") else {}
    return made | {"image": {"reference": source["image"], **policy}}


def _mounted_object(volume: Object, made: Object) -> Object | None:
    if source := volume.get("configMap"):
        return made | {"configMap": {"name": source["name"]}}
    if source := volume.get("secret"):
        return made | {"secret": {"secretName": source["secretName"]}}
    if fields := get(volume, "downwardAPI", "fields"):
        return made | {"downwardAPI": {"items": fields}}
    if source := get(volume, "sysprep", "configMap"):
        return made | {"configMap": {"name": source["name"]}}
    if source := get(volume, "sysprep", "secret"):
        return made | {"secret": {"secretName": source["name"]}}
    for key in ("cloudInitNoCloud", "cloudInitConfigDrive"):
        if secret := get(volume, key, "secretRef", "name"):
            return made | {"secret": {"secretName": secret}}
    return None


def claim_name(volume: Object) -> str:
    """The PersistentVolumeClaim behind a VMI's volume, empty when it has none."""
    return str(get(volume, "persistentVolumeClaim", "claimName") or get(volume, "dataVolume", "name")
               or get(volume, "ephemeral", "persistentVolumeClaim", "claimName")
               or get(volume, "memoryDump", "claimName") or "")
