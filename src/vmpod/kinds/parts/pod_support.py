"""The fields of a pod spec that this release acts on."""

from __future__ import annotations

from vmpod.kinds.parts.pod_defaults import VOLUME_SOURCES
from vmpod.kinds.parts.support import ACTED, BLOCKS, Tree, unsupported
from vmpod.model.meta import Object

_PROBE: Tree = {
    "exec": ACTED, "httpGet": ACTED, "tcpSocket": ACTED, "initialDelaySeconds": ACTED, "timeoutSeconds": ACTED,
    "periodSeconds": ACTED, "successThreshold": ACTED, "failureThreshold": ACTED,
    "terminationGracePeriodSeconds": ACTED,
}
_SECURITY: Tree = {
    "runAsUser": ACTED, "runAsGroup": ACTED, "runAsNonRoot": ACTED, "supplementalGroups": ACTED, "fsGroup": ACTED,
    "fsGroupChangePolicy": ACTED, "sysctls": ACTED, "capabilities": ACTED, "privileged": ACTED,
    "allowPrivilegeEscalation": ACTED, "readOnlyRootFilesystem": ACTED, "seccompProfile": ACTED,
}
_AMOUNTS: Tree = {"cpu": ACTED, "memory": ACTED}
_CONTAINER: Tree = {
    "name": ACTED, "image": ACTED, "imagePullPolicy": ACTED, "command": ACTED, "args": ACTED, "workingDir": ACTED,
    "env": {
        "name": ACTED, "value": ACTED,
        "valueFrom": {"fieldRef": ACTED, "configMapKeyRef": ACTED, "secretKeyRef": ACTED, "resourceFieldRef": ACTED},
    },
    "envFrom": ACTED,
    "ports": {"name": ACTED, "containerPort": ACTED, "protocol": ACTED},
    "resources": {"limits": _AMOUNTS, "requests": _AMOUNTS},
    "volumeMounts": {
        "name": ACTED, "mountPath": ACTED, "readOnly": ACTED, "subPath": ACTED, "subPathExpr": ACTED,
        "mountPropagation": ACTED,
    },
    "livenessProbe": _PROBE, "readinessProbe": _PROBE, "startupProbe": _PROBE,
    "lifecycle": ACTED,
    "restartPolicy": ACTED,
    "securityContext": _SECURITY,
    "stdin": ACTED, "stdinOnce": ACTED, "tty": ACTED,
    "terminationMessagePath": ACTED, "terminationMessagePolicy": ACTED,
}
_POD: Tree = {
    "containers": _CONTAINER,
    "initContainers": _CONTAINER,
    "volumes": {
        **dict.fromkeys(VOLUME_SOURCES, BLOCKS),
        "name": ACTED, "emptyDir": {}, "configMap": ACTED, "secret": ACTED, "hostPath": ACTED,
        "persistentVolumeClaim": ACTED, "downwardAPI": ACTED, "projected": ACTED,
    },
    "restartPolicy": ACTED,
    "terminationGracePeriodSeconds": ACTED,
    "dnsPolicy": ACTED, "dnsConfig": ACTED, "hostAliases": ACTED,
    "nodeName": ACTED, "nodeSelector": ACTED, "affinity": ACTED, "tolerations": ACTED,
    "hostname": ACTED, "subdomain": ACTED,
    "hostNetwork": ACTED, "hostPID": ACTED, "hostIPC": ACTED,
    "readinessGates": ACTED, "activeDeadlineSeconds": ACTED,
    "hostUsers": frozenset({True}),
    "imagePullSecrets": ACTED,
    "schedulerName": frozenset({"default-scheduler", ""}),
    "securityContext": _SECURITY,
    "serviceAccount": ACTED, "serviceAccountName": ACTED, "automountServiceAccountToken": ACTED,
    "enableServiceLinks": ACTED,
    # On one machine nothing is spread; the scheduler tells about it in an event. Nothing is preempted either.
    "topologySpreadConstraints": ACTED, "priority": ACTED, "preemptionPolicy": ACTED, "priorityClassName": ACTED,
}


def pod_warnings(spec: Object, path: str) -> list[str]:
    """What a pod spec asks for in vain, by path."""
    found = unsupported(spec, _POD, path)
    if spec.get("hostNetwork"):
        # There the ports of the containers are ports of the host anyway.
        return [told for told in found if ".hostPort: " not in told]
    return list(found)
