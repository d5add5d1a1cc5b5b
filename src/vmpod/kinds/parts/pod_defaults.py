"""Constant defaults of pod specs: pkg/apis/core/v1/defaults.go and the admission plugins of every cluster."""

from __future__ import annotations

from vmpod.kinds.parts import console_log
from vmpod.kinds.parts.images import pull_policy
from vmpod.kinds.parts.reading import dig, entries, fill, fill_count, mapping, section, set_keys, text
from vmpod.model import quantity
from vmpod.model.meta import Object

FILE_MODE = 0o644
TOLERATION_S = 300
VOLUME_SOURCES = (
    "emptyDir", "hostPath", "secret", "configMap", "persistentVolumeClaim", "downwardAPI", "projected", "csi",
    "ephemeral", "nfs", "iscsi", "image", "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "fc",
    "flexVolume", "flocker", "gcePersistentDisk", "gitRepo", "glusterfs", "photonPersistentDisk", "portworxVolume",
    "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume",
)
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def default_pod_spec(spec: Object) -> None:
    """What pods and pod templates have in common."""
    fill(spec, "restartPolicy", "Always")
    fill(spec, "dnsPolicy", "ClusterFirst")
    fill(spec, "schedulerName", "default-scheduler")
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    _mirror_service_account(spec)
    for volume in entries(spec, "volumes"):
        _default_volume(volume)
    for container in all_containers(spec):
        _default_container(container)
        if spec.get("hostNetwork"):
            _publish_on_host(container)


def all_containers(spec: object) -> list[Object]:
    """Init containers and containers of a pod spec."""
    return [*entries(spec, "initContainers"), *entries(spec, "containers")]


def default_live_pod(pod: Object) -> None:
    """What only pods get, not templates: limits as requests, service links, account, tolerations, priority."""
    spec = section(pod, "spec")
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    fill(spec, "preemptionPolicy", "PreemptLowerPriority")
    if spec.get("priority") is None:
        spec["priority"] = 0
    fill(spec, "serviceAccountName", "default")
    _mirror_service_account(spec)
    for container in all_containers(spec):
        _request_limits(container)
    for condition in ("not-ready", "unreachable"):
        _tolerate(spec, f"node.kubernetes.io/{condition}")


def _mirror_service_account(spec: Object) -> None:
    """The deprecated field `serviceAccount` always says what serviceAccountName says."""
    name = text(spec, "serviceAccountName") or text(spec, "serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def _tolerate(spec: Object, key: str) -> None:
    """DefaultTolerationSeconds: five minutes, unless the pod says something about this taint."""
    for toleration in entries(spec, "tolerations"):
        if text(toleration, "key") in (key, "") and text(toleration, "effect") in ("NoExecute", ""):
            return
    wanted = spec.get("tolerations") or []
    if isinstance(wanted, list):
        entry = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_S}
        spec["tolerations"] = [*wanted, entry]


def _default_container(container: Object) -> None:
    fill(container, "imagePullPolicy", pull_policy(text(container, "image")))
    fill(container, "terminationMessagePath", "/dev/termination-log")
    fill(container, "terminationMessagePolicy", "File")
    if container.get("resources") is None:
        container["resources"] = {}
    canonical_resources(container["resources"])
    for port in entries(container, "ports"):
        fill(port, "protocol", "TCP")
    for env in entries(container, "env"):
        reference = mapping(mapping(env.get("valueFrom")).get("fieldRef"))
        if reference:
            fill(reference, "apiVersion", "v1")
    for name in PROBES:
        default_probe(container.get(name))
    for hook in mapping(container.get("lifecycle")).values():
        _default_http_get(mapping(hook).get("httpGet"))


def default_probe(probe: object) -> None:
    """Timings of a probe and the parts of its HTTP request; nothing when there is no probe."""
    if not isinstance(probe, dict):
        return
    for key, value in (
        ("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3),
    ):
        fill_count(probe, key, value)
    _default_http_get(probe.get("httpGet"))
    if isinstance(probe.get("grpc"), dict) and probe["grpc"].get("service") is None:
        probe["grpc"]["service"] = ""


def _default_http_get(request: object) -> None:
    if isinstance(request, dict):
        fill(request, "path", "/")
        fill(request, "scheme", "HTTP")


def _publish_on_host(container: Object) -> None:
    """On the host's network every port is a port of the host."""
    for port in entries(container, "ports"):
        if port.get("containerPort"):
            fill_count(port, "hostPort", port["containerPort"])


def canonical_resources(resources: object) -> None:
    """Quantities as the API server writes them back; what is no quantity stays for validation."""
    for key in ("limits", "requests"):
        canonical_quantities(mapping(resources).get(key))


def canonical_quantities(amounts: object) -> None:
    """The same for one map from resource to quantity."""
    found = mapping(amounts)
    for name, value in found.items():
        if quantity.is_valid(value):
            found[name] = quantity.canonical(value)


def _request_limits(container: Object) -> None:
    """A resource with a limit and no request requests its limit."""
    limits = dig(container, "resources", "limits")
    if limits:
        requests = section(container, "resources", "requests")
        for name, value in limits.items():
            requests.setdefault(name, value)


def _default_volume(volume: Object) -> None:
    """A volume without source is an emptyDir; files are readable by all."""
    if not set_keys(volume, VOLUME_SOURCES):
        volume["emptyDir"] = {}
    for key in ("configMap", "secret", "downwardAPI", "projected"):
        source = volume.get(key)
        if isinstance(source, dict) and source.get("defaultMode") is None:
            source["defaultMode"] = FILE_MODE
    if isinstance(volume.get("hostPath"), dict) and volume["hostPath"].get("type") is None:
        volume["hostPath"]["type"] = ""
    _default_field_refs(volume.get("downwardAPI"))
    for source in entries(volume.get("projected"), "sources"):
        _default_field_refs(source.get("downwardAPI"))
        token = source.get("serviceAccountToken")
        if isinstance(token, dict):
            fill_count(token, "expirationSeconds", 3600)


def _default_field_refs(source: object) -> None:
    for item in entries(source, "items"):
        reference = item.get("fieldRef")
        if isinstance(reference, dict):
            fill(reference, "apiVersion", "v1")


def qos_class(spec: object) -> str:
    """BestEffort, Burstable or Guaranteed, by cpu and memory of what runs: pkg/apis/core/v1/helper/qos."""
    requests: set[tuple[str, bool]] = set()
    guaranteed = True
    for container in all_containers(spec):
        if console_log.is_it(container):
            continue
        asked, capped = dig(container, "resources", "requests"), dig(container, "resources", "limits")
        for name in ("cpu", "memory"):
            if _amount(asked.get(name)) or _amount(capped.get(name)):
                requests.add((name, True))
            same = _amount(asked.get(name, capped.get(name))) == _amount(capped.get(name))
            guaranteed = guaranteed and bool(_amount(capped.get(name))) and same
    if not requests:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _amount(value: object) -> float:
    if not isinstance(value, (str, int, float)) or not quantity.is_valid(value):
        return 0
    return float(quantity.parse(value))
