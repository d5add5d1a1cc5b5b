"""Fields of a pod that are stored but cannot be honoured here, named by path so that nothing is dropped silently."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.model import meta
from vmpod.model.meta import Object

_POD_FIELDS = {
    "ephemeralContainers": "ephemeral containers are not run",
    "resourceClaims": "there is no dynamic resource allocation",
    "runtimeClassName": "there is one container runtime",
    "hostUsers": "user namespaces follow podman's own setting",
    "shareProcessNamespace": "each container has a process namespace of its own",
    "overhead": "pod overhead is not added to limits",
}
_SECURITY_FIELDS = ("seLinuxOptions", "windowsOptions", "appArmorProfile", "procMount")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def unsupported(pod: Object) -> list[str]:
    """One sentence for each field, `spec.path: why`."""
    return [f"{path}: {why}" for path, why in _find(pod)]


def _find(pod: Object) -> Iterator[tuple[str, str]]:
    spec = meta.get(pod, "spec", default={})
    for field, why in _POD_FIELDS.items():
        if spec.get(field) not in (None, [], {}, "") and not (field == "hostUsers" and spec[field] is True):
            yield f"spec.{field}", why
    for field in _SECURITY_FIELDS:
        if meta.get(spec, "securityContext", field):
            yield f"spec.securityContext.{field}", "it is not set on containers here"
    for group in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(group) or ()):
            yield from _in_container(f"spec.{group}[{index}]", container)


def _in_container(path: str, container: Object) -> Iterator[tuple[str, str]]:
    for probe in _PROBES:
        if meta.get(container, probe, "grpc"):
            yield f"{path}.{probe}.grpc", "gRPC probes are not made; the container counts as passing it"
    for index, port in enumerate(container.get("ports") or ()):
        if port.get("hostPort"):
            yield f"{path}.ports[{index}].hostPort", "ports of the host are not opened; use a Service of type NodePort"
    if container.get("volumeDevices"):
        yield f"{path}.volumeDevices", "block devices are not given to containers"
    for field in _SECURITY_FIELDS:
        if meta.get(container, "securityContext", field):
            yield f"{path}.securityContext.{field}", "it is not set on containers here"
    for field in ("restartPolicyRules", "resizePolicy"):
        if container.get(field):
            yield f"{path}.{field}", "it is not looked at"
