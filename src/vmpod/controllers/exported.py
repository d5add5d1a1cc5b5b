"""What a VirtualMachineExport makes: its Service, exporter pod and token, and the links that lead to them. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping

from vmpod.controllers.children import child_metadata, suffix
from vmpod.controllers.config import ControllerConfig
from vmpod.controllers.restored import claim_of
from vmpod.controllers.served import ENGINE, SERVED_BY, is_served
from vmpod.model.meta import Object, controller_of, get, name, namespace, owner_reference
from vmpod.model.meta import annotations as annotations_of

SELECTOR = "kubevirt.io.virt-export-service"
EXTERNAL = "/api/export.kubevirt.io/v1/namespaces/{}/virtualmachineexports/{}"
PORT = 8443
_CONTENT = "cdi.kubevirt.io/storage.contentType"
_IMPORT = "cdi.kubevirt.io/storage.import.source"
_LABEL_LIMIT = 63


def service_name(export: Object) -> str:
    """Of the Service and of the pod behind it."""
    return _shortened("virt-export", name(export))


def token_name(export: Object) -> str:
    """The Secret with the token: the one that the export names, else one of its own."""
    return str(get(export, "spec", "tokenSecretRef") or _shortened("export-token", name(export)))


def _shortened(prefix: str, word: str) -> str:
    whole = f"{prefix}-{word}"
    return whole if len(whole) <= _LABEL_LIMIT else f"{whole[:_LABEL_LIMIT - 9]}-{suffix(whole, length=8)}"


def service(export: Object) -> Object:
    meta = child_metadata(export, service_name(export)) | {"labels": {"app.kubernetes.io/component": "virt-exporter"}}
    ports = [{"protocol": "TCP", "port": 443, "targetPort": PORT}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta,
            "spec": {"ports": ports, "selector": {SELECTOR: name(export)}}}  # fmt: skip


def token(export: Object, drawn: str) -> Object:
    data = {"token": base64.b64encode(drawn.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": data,
            "metadata": child_metadata(export, token_name(export))}  # fmt: skip


def pod(export: Object, claims: Iterable[Object], config: ControllerConfig) -> Object:
    """Nothing runs for it: the engine answers at its address. It holds the claims, as any pod does that uses them."""
    meta = child_metadata(export, service_name(export)) | {
        "labels": {SELECTOR: name(export), "app.kubernetes.io/component": "virt-exporter"},
        "annotations": {SERVED_BY: ENGINE},
    }
    volumes: list[Object] = [
        {"name": f"volume-{number}", "persistentVolumeClaim": {"claimName": name(one), "readOnly": True}}
        for number, one in enumerate(claims)
    ]  # fmt: skip
    mounts = [{"name": one["name"], "mountPath": f"/export-volumes/{one['persistentVolumeClaim']['claimName']}",
               "readOnly": True} for one in volumes]  # fmt: skip
    image = f"vmpod/virt-exportserver:{config.version or 'latest'}"
    container = {"name": "exporter", "image": image, "ports": [{"containerPort": PORT, "protocol": "TCP"}],
                 "volumeMounts": mounts}  # fmt: skip
    spec = {"nodeName": config.node_names[0], "containers": [container], "volumes": volumes, "restartPolicy": "Never",
            "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}]}  # fmt: skip
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def held_claims(pod: Object) -> list[str]:
    """The claims that an exporter pod was made for."""
    return [str(get(one, "persistentVolumeClaim", "claimName"))
            for one in get(pod, "spec", "volumes", default=()) if "persistentVolumeClaim" in one]  # fmt: skip


def is_exporter(pod: Object) -> bool:
    """Whether a pod of ours shows claims: it reads them and no more."""
    return (controller_of(pod) or {}).get("kind") == "VirtualMachineExport" and is_served(pod)


def restored_claim(export: Object, backup: Object) -> Object:
    """The claim that shows one volume of a snapshot while it is exported."""
    wanted = restored_name(export, backup)
    made = claim_of(backup, wanted, namespace(export), {_CONTENT: "kubevirt"})
    made["metadata"]["ownerReferences"] = [owner_reference(export)]
    return made


def restored_name(export: Object, backup: Object) -> str:
    return f"{name(export)}-{name(backup['persistentVolumeClaim'])}"


def is_disk(claim: Object, disks: Iterable[str]) -> bool:
    """Whether a claim holds the disk of a machine, not files. `disks` are the claims that machines name as disks."""
    if get(claim, "spec", "volumeMode") == "Block" or name(claim) in disks:
        return True
    said = annotations_of(claim)
    if said.get(_CONTENT, "kubevirt") != "kubevirt":
        return False
    return _CONTENT in said or _IMPORT in said or (controller_of(claim) or {}).get("kind") == "DataVolume"


def links(export: Object, volumes: Mapping[str, bool], has_machine: bool, config: ControllerConfig) -> Object:
    """status.links. `volumes`: claim → whether it is a disk."""
    api = config.api_address if ":" not in config.api_address else f"[{config.api_address}]"
    outside = f"{api}:{config.api_port}{EXTERNAL.format(namespace(export), name(export))}"
    inside = f"{service_name(export)}.{namespace(export)}.svc"
    return {"internal": _links(export, f"https://{inside}", "internal", volumes, has_machine, config),
            "external": _links(export, f"https://{outside}", "external", volumes, has_machine, config)}  # fmt: skip


def _links(
    export: Object, root: str, door: str, volumes: Mapping[str, bool], has_machine: bool, config: ControllerConfig
) -> Object:
    types = (*(("all",) if has_machine else ()), "auth-header-secret")
    paths = {"all": "all", "auth-header-secret": "secret"}
    shown = [{"name": shown_name(export, claim), "formats": _formats(f"{root}/volumes/{claim}", disk)}
             for claim, disk in volumes.items()]  # fmt: skip
    manifests = [{"type": type, "url": f"{root}/{door}/manifests/{paths[type]}"} for type in types]
    return {"cert": config.ca_pem.strip(), "manifests": manifests, "volumes": shown}


def shown_name(export: Object, claim: str) -> str:
    """A volume of a snapshot goes by the name of the claim that it was taken of."""
    is_restored = get(export, "spec", "source", "kind") == "VirtualMachineSnapshot"
    return claim.removeprefix(f"{name(export)}-") if is_restored else claim


def _formats(root: str, is_disk: bool) -> list[Object]:
    named = {"raw": "disk.img", "gzip": "disk.img.gz"} if is_disk else {"tar.gz": "disk.tar.gz"}
    return [{"format": format, "url": f"{root}/{file}"} for format, file in named.items()]

