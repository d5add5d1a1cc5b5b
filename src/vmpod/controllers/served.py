"""What the engine itself serves, as the objects in which users look for it: Pods, Services, the operators' singletons.

The node runs nothing for these pods: they carry the annotation `vmpod.io/served-by: engine`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from vmpod.client.cache import Cache
from vmpod.controllers.children import delete
from vmpod.controllers.config import ControllerConfig
from vmpod.kinds import CDI, CDICONFIG, KUBEVIRT, NODE, POD, SERVICE
from vmpod.kinds.kind import Kind
from vmpod.model.meta import Object, get, is_deleting, name, namespace
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Action, Create, Patch, Plan, Replace
from vmpod.reconcile.loop import Key, Watch, own

SERVED_BY = "vmpod.io/served-by"
ENGINE = "engine"
_MARK = {SERVED_BY: ENGINE}
_POD_MARK = _MARK | {"kubernetes.io/config.mirror": ENGINE}  # nobody can evict it: `kubectl drain` passes over it
_KUBEVIRT_READY = "All components are ready."


@dataclass(frozen=True)
class Component:
    """A part of the engine under the name that KubeVirt, CDI or Kubernetes give it. `per_node`: the name ends in it."""

    namespace: str
    name: str
    labels: tuple[tuple[str, str], ...]
    per_node: bool = False


_COMPONENTS = (
    Component("kubevirt", "virt-api", (("kubevirt.io", "virt-api"),)),
    Component("kubevirt", "virt-controller", (("kubevirt.io", "virt-controller"),)),
    Component("kubevirt", "virt-operator", (("kubevirt.io", "virt-operator"),)),
    Component("kubevirt", "virt-handler", (("kubevirt.io", "virt-handler"),), per_node=True),
    Component("cdi", "cdi-apiserver", (("cdi.kubevirt.io", "cdi-apiserver"),)),
    Component("cdi", "cdi-deployment", (("app", "containerized-data-importer"), ("cdi.kubevirt.io", "cdi-deployment"))),
    Component("cdi", "cdi-operator", (("cdi.kubevirt.io", "cdi-operator"), ("name", "cdi-operator"))),
    Component("cdi", "cdi-uploadproxy", (("cdi.kubevirt.io", "cdi-uploadproxy"),)),
    Component("kube-system", "dns", (("k8s-app", "kube-dns"),)),
    Component("kube-system", "kube-apiserver", (("component", "kube-apiserver"),), per_node=True),
)  # fmt: skip

_SERVICES = (
    ("kubevirt", "virt-api", ("kubevirt.io", "virt-api")),
    ("cdi", "cdi-api", ("cdi.kubevirt.io", "cdi-apiserver")),
    ("cdi", "cdi-uploadproxy", ("cdi.kubevirt.io", "cdi-uploadproxy")),
)


@dataclass(frozen=True)
class Wanted:
    """An object that should exist, and the status it should show (None: not ours)."""

    kind: Kind
    obj: Object
    status: Object | None = None


@dataclass(frozen=True)
class Seen:
    """What should exist for a node's engine, each with what does."""

    pairs: tuple[tuple[Wanted, Object | None], ...]
    cdi: Object | None = None
    cdi_config: Object | None = None


def is_served(obj: Object) -> bool:
    """Whether the object stands for a part of the engine."""
    return annotations_of(obj).get(SERVED_BY) == ENGINE


def _to_node(obj: Object, cache: Cache) -> list[Key]:
    return cache.keys(NODE) if is_served(obj) else []


KIND = NODE
WATCHES = (
    own(NODE), Watch(POD, found=_to_node), Watch(SERVICE, found=_to_node),
    *(Watch(kind, found=lambda obj, cache: cache.keys(NODE)) for kind in (KUBEVIRT, CDI, CDICONFIG)),
)


def gather(key: Key, cache: Cache, now: datetime, config: ControllerConfig) -> Seen | None:
    node = cache.get(NODE, *key)
    if node is None or name(node) not in config.node_names:
        return None
    if name(node) != config.node_names[0]:
        return Seen(_pairs(_of_further_node(node, config), cache))
    cdi, cdi_config = cache.get(CDI, "", "cdi"), cache.get(CDICONFIG, "", "config")
    wanted = [*desired(node, config), _cdi_config(config, cdi_config)]
    return Seen(_pairs(wanted, cache), cdi, cdi_config)


def _pairs(wanted: Iterable[Wanted], cache: Cache) -> tuple[tuple[Wanted, Object | None], ...]:
    return tuple((one, cache.get(one.kind, namespace(one.obj), name(one.obj))) for one in wanted)


def plan(seen: Seen) -> Plan:
    said = get(seen.cdi, "spec", "config")  # what the CDI says of it is so, as its operator makes it
    if said and seen.cdi_config is not None and said != seen.cdi_config.get("spec"):
        return Plan((Replace(CDICONFIG, {**seen.cdi_config, "spec": said}),))
    actions = [action for wanted, found in seen.pairs if (action := _step(wanted, found)) is not None]
    return Plan(tuple(actions))


def _step(wanted: Wanted, found: Object | None) -> Action | None:
    if found is None:
        return Create(wanted.kind, wanted.obj)
    if is_deleting(found):
        return delete(POD, found, grace_s=0) if wanted.kind is POD else None
    shown = _settled(wanted.status, found) if wanted.status is not None else {}
    old = found.get("status") or {}
    if any(old.get(key) != value for key, value in shown.items()):
        fresh = {key: _over(value, old.get(key)) for key, value in shown.items()}
        return Patch(wanted.kind, namespace(found), name(found), {"status": fresh}, "status")
    return None


def _over(value: object, old: object) -> object:
    """A value for a merge patch, that leaves nothing of the old one."""
    return {**dict.fromkeys(old), **value} if isinstance(value, dict) and isinstance(old, dict) else value


def _settled(status: Object, found: Object) -> Object:
    """The status with its times filled in: nothing has changed since the object was made."""
    born = get(found, "metadata", "creationTimestamp", default="1970-01-01T00:00:00Z")
    shown = {**status, "conditions": [{**one, "lastTransitionTime": born} for one in status.get("conditions", ())]}
    if "containerStatuses" in status:
        running = {"running": {"startedAt": born}}
        shown["containerStatuses"] = [{**one, "state": running} for one in status["containerStatuses"]]
        shown["startTime"] = born
    return shown


def desired(node: Object, config: ControllerConfig) -> list[Wanted]:
    """Everything that stands for the engine, on its first node."""
    ip = _address(node)
    pods = [_pod(one, name(node), config, config.dns_address if one.name == "dns" else ip) for one in _COMPONENTS]
    return [*pods, *_services(config), *_singletons(config)]


def _of_further_node(node: Object, config: ControllerConfig) -> list[Wanted]:
    return [_pod(one, name(node), config, _address(node)) for one in _COMPONENTS if one.name == "virt-handler"]


def _address(node: Object) -> str:
    addresses = get(node, "status", "addresses", default=())
    return next((str(one["address"]) for one in addresses if one.get("type") == "InternalIP"), "")


def _pod(part: Component, node: str, config: ControllerConfig, ip: str) -> Wanted:
    image = f"vmpod/{part.name}:{config.version or 'latest'}"
    ports = [{"name": "dns", "containerPort": 53, "protocol": "UDP"}] if part.name == "dns" else [
        {"name": "https", "containerPort": config.api_port, "protocol": "TCP"}]
    made = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": f"{part.name}-{node}" if part.per_node else part.name, "namespace": part.namespace,
            "labels": dict(part.labels), "annotations": dict(_POD_MARK),
        },
        "spec": {
            "nodeName": node, "hostNetwork": True, "automountServiceAccountToken": False,
            "containers": [{"name": part.name, "image": image, "ports": ports}],
            "tolerations": [{"operator": "Exists"}],
        },
    }  # fmt: skip
    return Wanted(POD, made, _pod_status(part.name, image, ip))


def _pod_status(container: str, image: str, ip: str) -> Object:
    types = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    status: Object = {
        "phase": "Running", "conditions": [{"type": type, "status": "True"} for type in types],
        "containerStatuses": [{"name": container, "image": image, "imageID": "", "ready": True, "started": True,
                               "restartCount": 0}],
    }
    return status | ({"hostIP": ip, "podIP": ip, "podIPs": [{"ip": ip}]} if ip else {})


def _services(config: ControllerConfig) -> Iterable[Wanted]:
    https = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": config.api_port}]
    for space, made, (key, value) in _SERVICES:
        yield _service(space, made, {"selector": {key: value}, "ports": https})
    cluster_ip = {"clusterIP": config.api_service_address} if config.api_service_address else {}
    yield _service("default", "kubernetes", {"ports": https, **cluster_ip})
    if config.dns_address:
        dns = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
        spec = {"selector": {"k8s-app": "kube-dns"}, "ports": dns, "clusterIP": config.dns_address}
        yield _service("kube-system", "kube-dns", spec)


def _service(space: str, made: str, spec: Object) -> Wanted:
    labels = {"component": "apiserver", "provider": "kubernetes"} if made == "kubernetes" else dict(spec["selector"])
    meta = {"name": made, "namespace": space, "labels": labels, "annotations": dict(_MARK)}
    return Wanted(SERVICE, {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})


def _singletons(config: ControllerConfig) -> Iterable[Wanted]:
    version = config.kubevirt_version
    kubevirt = _operated(version, "AllComponentsReady", _KUBEVIRT_READY) | {
        "observedKubeVirtVersion": version, "targetKubeVirtVersion": version, "observedKubeVirtRegistry": "vmpod"}
    kubevirt["conditions"].append({"type": "Created", "status": "True", "reason": "AllResourcesCreated",
                                   "message": "All resources were created."})
    yield _singleton(KUBEVIRT, "kubevirt", "kubevirt", kubevirt)
    cdi = _operated(config.cdi_version, "DeployCompleted", "Deployment Completed")
    yield _singleton(CDI, "", "cdi", cdi | {"observedVersion": config.cdi_version, "targetVersion": config.cdi_version})


def _cdi_config(config: ControllerConfig, found: Object | None) -> Wanted:
    """What is so of the configuration: disks of claims have no file system around them that takes room."""
    said = get(found, "spec", default={})
    url = said.get("uploadProxyURLOverride") or f"https://{config.api_address}:{config.api_port}"
    told = {"uploadProxyURL": url, "uploadProxyCA": config.ca_pem or None, "filesystemOverhead": {"global": "0"},
            "preallocation": said.get("preallocation") is True, "importProxy": said.get("importProxy")}  # fmt: skip
    return Wanted(CDICONFIG, _bare(CDICONFIG, "", "config"), told)


def _operated(version: str, reason: str, message: str) -> Object:
    """The status that both operators write when all is well."""
    good = {"type": "Available", "status": "True", "reason": reason, "message": message}
    idle = [{"type": type, "status": "False", "reason": reason, "message": message}
            for type in ("Progressing", "Degraded")]
    return {"phase": "Deployed", "operatorVersion": version, "conditions": [good, *idle]}


def _singleton(kind: Kind, space: str, made: str, status: Object) -> Wanted:
    return Wanted(kind, _bare(kind, space, made), status)


def _bare(kind: Kind, space: str, made: str) -> Object:
    meta = {"name": made, "annotations": dict(_MARK)} | ({"namespace": space} if space else {})
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, "spec": {}}


def status(seen: Seen, plan: Plan) -> Object | None:
    """Nothing: the node's status is its agent's."""
    return None
