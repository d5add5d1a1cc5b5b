"""Pod: defaults, rules, warnings and the cells of `kubectl get pods`."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from vmpod.kinds import POD
from vmpod.kinds.parts.images import pull_policy
from vmpod.kinds.parts.pod_defaults import qos_class
from vmpod.model.meta import Object

from .objects import container, faults, header, line, pod

NOW = "2026-01-01T01:00:00Z"


def test_defaults() -> None:
    """The object that kube-apiserver 1.35 returns for the smallest pod."""
    assert POD.default(pod())["spec"] == {
        "containers": [{
            "name": "main", "image": "nginx:1.27", "imagePullPolicy": "IfNotPresent", "resources": {},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        }],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
        "priority": 0,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "serviceAccount": "default",
        "serviceAccountName": "default",
        "terminationGracePeriodSeconds": 30,
        "tolerations": [
            {"effect": "NoExecute", "key": f"node.kubernetes.io/{why}", "operator": "Exists", "tolerationSeconds": 300}
            for why in ("not-ready", "unreachable")
        ],
    }


@pytest.mark.parametrize(("image", "policy"), [
    ("nginx", "Always"), ("nginx:latest", "Always"), ("nginx:1.27", "IfNotPresent"),
    ("localhost:5000/nginx", "Always"), ("localhost:5000/nginx:1", "IfNotPresent"), ("a@sha256:0", "IfNotPresent"),
    ("a:latest@sha256:0", "IfNotPresent"),
])
def test_pull_policy(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


def test_container_defaults() -> None:
    made = POD.default(container(
        ports=[{"containerPort": 80}],
        env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        resources={"limits": {"cpu": "0.5", "memory": "1024Mi"}},
        readinessProbe={"httpGet": {"port": 80}}, livenessProbe={"tcpSocket": {"port": 80}, "periodSeconds": 2},
    ))["spec"]["containers"][0]
    assert made["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert made["env"][0]["valueFrom"]["fieldRef"] == {"fieldPath": "metadata.name", "apiVersion": "v1"}
    assert made["resources"] == {
        "limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"},
    }
    assert made["readinessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
    }
    assert made["livenessProbe"]["periodSeconds"] == 2


def test_volume_defaults() -> None:
    volumes = [
        {"name": "a"}, {"name": "b", "configMap": {"name": "c"}}, {"name": "c", "secret": {"secretName": "s"}},
        {"name": "d", "hostPath": {"path": "/srv"}}, {"name": "e", "downwardAPI": {"items": [
            {"path": "x", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "f", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
    ]
    made = POD.default(pod(volumes=volumes))["spec"]["volumes"]
    assert made[0] == {"name": "a", "emptyDir": {}}
    assert made[1]["configMap"]["defaultMode"] == made[2]["secret"]["defaultMode"] == 420
    assert made[3]["hostPath"] == {"path": "/srv", "type": ""}
    assert made[4]["downwardAPI"]["items"][0]["fieldRef"]["apiVersion"] == "v1"
    assert made[5]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] == 3600


def test_host_network_publishes_ports() -> None:
    obj = container(ports=[{"containerPort": 80}])
    obj["spec"]["hostNetwork"] = True
    assert POD.default(obj)["spec"]["containers"][0]["ports"][0]["hostPort"] == 80
    assert POD.warnings(POD.default(obj)) == []


def test_own_toleration_is_kept() -> None:
    own = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
    tolerations = POD.default(pod(tolerations=[own]))["spec"]["tolerations"]
    assert [t["tolerationSeconds"] for t in tolerations] == [5, 300]


@pytest.mark.parametrize(("resources", "quality"), [
    ({}, "BestEffort"), ({"requests": {"cpu": "1"}}, "Burstable"), ({"limits": {"cpu": "1"}}, "Burstable"),
    ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
    ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}, "Burstable"),
])
def test_qos_class(resources: Object, quality: str) -> None:
    assert qos_class(POD.default(container(resources=resources))["spec"]) == quality


def test_the_log_of_a_console_takes_nothing_from_the_quality() -> None:
    """It is listed in launcher pods and never run."""
    whole = {"limits": {"cpu": "1", "memory": "1Gi"}}
    spec = {"containers": [{"name": "compute", "image": "i", "resources": whole}],
            "initContainers": [{"name": "guest-console-log", "image": "i", "restartPolicy": "Always"}]}  # fmt: skip
    assert qos_class(spec) == "Guaranteed"


MAIN = "spec.containers[0]"
WRONG: list[tuple[str, Object, str]] = [
    ("no containers", pod(containers=[]), "spec.containers: Required value"),
    ("no name", pod(containers=[{"image": "a"}]), f"{MAIN}.name: Required value"),
    ("no image", pod(containers=[{"name": "a"}]), f"{MAIN}.image: Required value"),
    ("image with spaces", container(image=" a "),
     f'{MAIN}.image: Invalid value: " a ": must not have leading or trailing whitespace'),
    ("twice", pod(containers=[{"name": "a", "image": "a"}] * 2), 'spec.containers[1].name: Duplicate value: "a"'),
    ("twice with init", pod(initContainers=[{"name": "main", "image": "a"}]),
     f'{MAIN}.name: Duplicate value: "main"'),
    ("policy", container(imagePullPolicy="Sometimes"),
     f'{MAIN}.imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"'),
    ("port", container(ports=[{"containerPort": 70000}]),
     f"{MAIN}.ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"),
    ("no port", container(ports=[{"name": "a"}]), f"{MAIN}.ports[0].containerPort: Required value"),
    ("protocol", container(ports=[{"containerPort": 1, "protocol": "tcp"}]),
     f'{MAIN}.ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"'),
    ("port names", container(ports=[{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]),
     f'{MAIN}.ports[1].name: Duplicate value: "a"'),
    ("env name", container(env=[{"name": "A=B"}]), f'{MAIN}.env[0].name: Invalid value: "A=B": a valid environment '
     "variable name must consist only of printable ASCII characters other than '='"),
    ("env number", container(env=[{"name": "A", "value": 5}]), f"{MAIN}.env[0].value: Invalid value: 5: must be a string"),
    ("env both", container(env=[{"name": "A", "value": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
     f'{MAIN}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'),
    ("env field", container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]),
     f'{MAIN}.env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "spec.x": supported values: "metadata.name", '
     '"metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", '
     '"status.hostIPs", "status.podIP", "status.podIPs"'),
    ("env key", container(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]),
     f"{MAIN}.env[0].valueFrom.secretKeyRef.key: Required value"),
    ("envFrom", container(envFrom=[{"prefix": "A"}]),
     f'{MAIN}.envFrom[0]: Invalid value: "": must specify one of: `configMapRef` or `secretRef`'),
    ("mount", container(volumeMounts=[{"name": "x", "mountPath": "/x"}]),
     f'{MAIN}.volumeMounts[0].name: Not found: "x"'),
    ("probe without handler", container(livenessProbe={}), f"{MAIN}.livenessProbe: Required value: must specify a handler type"),
    ("probe with two", container(livenessProbe={"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}),
     f"{MAIN}.livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"),
    ("probe success", container(livenessProbe={"exec": {"command": ["a"]}, "successThreshold": 2}),
     f"{MAIN}.livenessProbe.successThreshold: Invalid value: 2: must be 1"),
    ("probe timing", container(readinessProbe={"exec": {"command": ["a"]}, "periodSeconds": -1}),
     f"{MAIN}.readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0"),
    ("init probe", pod(initContainers=[{"name": "i", "image": "a", "livenessProbe": {"exec": {"command": ["a"]}}}]),
     "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"),
    ("quantity", container(resources={"requests": {"cpu": "1 core"}}),
     f'{MAIN}.resources.requests[cpu]: Invalid value: "1 core": quantities must match the regular expression '
     "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
    ("request above limit", container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
     f'{MAIN}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'),
    ("unknown resource", container(resources={"limits": {"disk": "1"}}),
     f'{MAIN}.resources.limits[disk]: Invalid value: "disk": must be a standard resource for containers'),
    ("restart policy", pod(restartPolicy="Sometimes"),
     'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'),
    ("dns policy", pod(dnsPolicy="x"), 'spec.dnsPolicy: Unsupported value: "x": supported values: "ClusterFirst", '
     '"ClusterFirstWithHostNet", "Default", "None"'),
    ("dns none", pod(dnsPolicy="None"), "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"),
    ("grace", pod(terminationGracePeriodSeconds=-1),
     "spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0"),
    ("volume twice", pod(volumes=[{"name": "a"}, {"name": "a"}]), 'spec.volumes[1].name: Duplicate value: "a"'),
    ("two sources", pod(volumes=[{"name": "a", "emptyDir": {}, "secret": {"secretName": "s"}}]),
     "spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type"),
    ("claim", pod(volumes=[{"name": "a", "persistentVolumeClaim": {}}]),
     "spec.volumes[0].persistentVolumeClaim.claimName: Required value"),
    ("mode", pod(volumes=[{"name": "a", "secret": {"secretName": "s", "defaultMode": 644}}]),
     "spec.volumes[0].secret.defaultMode: Invalid value: 644: must be a number between 0 and 0777 (octal), both inclusive"),
    ("host path", pod(volumes=[{"name": "a", "hostPath": {"path": "/a/../b"}}]),
     "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"),
    ("command", container(command=["a", 5]), f"{MAIN}.command[1]: Invalid value: 5: must be a string"),
]


@pytest.mark.parametrize(("obj", "told"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_wrong(obj: Object, told: str) -> None:
    assert told in faults(POD, obj)


def test_right() -> None:
    obj = container(
        ports=[{"containerPort": 80, "name": "http"}, {"containerPort": 80, "protocol": "UDP"}],
        env=[{"name": "my.odd-name", "value": "x"}, {"name": "L", "valueFrom": {"fieldRef": {
            "fieldPath": "metadata.labels['app']"}}}],
        volumeMounts=[{"name": "a", "mountPath": "/a"}, {"name": "a", "mountPath": "/b", "subPath": "x/y"}],
        startupProbe={"httpGet": {"port": "http", "path": "/x"}}, lifecycle={"preStop": {"exec": {"command": ["a"]}}},
        resources={"limits": {"cpu": 2, "memory": "1Gi", "example.com/foo": 1}, "requests": {"cpu": "100m"}},
    )
    obj["spec"]["volumes"] = [{"name": "a", "emptyDir": {"sizeLimit": "1Gi"}}]
    assert faults(POD, obj) == []
    assert POD.warnings(POD.default(obj)) == [
        "spec.containers[0].resources.limits.example.com/foo: not supported yet, ignored",
        "spec.containers[0].resources.requests.example.com/foo: not supported yet, ignored",
        "spec.volumes[0].emptyDir.sizeLimit: not supported yet, ignored",
    ]


def test_update() -> None:
    old = pod()
    changed = pod(containers=[{"name": "main", "image": "nginx:1.28"}], activeDeadlineSeconds=5)
    assert faults(POD, changed, old) == []
    bound = pod(nodeName="node1")
    assert faults(POD, bound, old) == []
    assert faults(POD, pod(nodeName="node2"), bound)[0].startswith(
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
        "tolerations),`spec.terminationGracePeriodSeconds`")
    more = pod(containers=[{"name": "main", "image": "a"}, {"name": "b", "image": "b"}])
    assert faults(POD, more, old) == ["spec.containers: Forbidden: pod updates may not add or remove containers"]


def test_warnings_name_the_path() -> None:
    obj = pod(runtimeClassName="kata", volumes=[{"name": "n", "nfs": {"server": "s", "path": "/"}}])
    assert POD.warnings(obj) == [
        "spec.runtimeClassName: not supported yet, ignored",
        "spec.volumes[0].nfs: not supported yet, nothing starts with it",
    ]
    obj["metadata"]["labels"] = {"kubevirt.io": "virt-launcher"}
    assert POD.warnings(obj) == []


def test_header() -> None:
    assert header(POD) == "NAME READY STATUS RESTARTS AGE"
    assert header(POD, wide=True) == "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES"


def _status(phase: str, *containers: Object, **more: Any) -> Object:
    return {"phase": phase, "containerStatuses": list(containers), **more}


RUNNING: Object = {"ready": True, "restartCount": 0, "state": {"running": {}}}
RESTARTED: Object = {
    "ready": True, "restartCount": 2, "state": {"running": {}},
    "lastState": {"terminated": {"finishedAt": "2026-01-01T00:55:00Z"}},
}
PRINTED: list[tuple[str, Object, Object, list[object]]] = [
    ("running", {}, _status("Running", RUNNING), ["1/1", "Running", "0"]),
    ("restarted", {}, _status("Running", RESTARTED), ["1/1", "Running", "2 (5m ago)"]),
    ("pending", {}, _status("Pending"), ["0/1", "Pending", "0"]),
    ("creating", {}, _status("Pending", {"state": {"waiting": {"reason": "ContainerCreating"}}}),
     ["0/1", "ContainerCreating", "0"]),
    ("crash loop", {}, _status("Running", {"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}),
     ["0/1", "CrashLoopBackOff", "3"]),
    ("completed", {}, _status("Succeeded", {"state": {"terminated": {"reason": "Completed", "exitCode": 0}}}),
     ["0/1", "Completed", "0"]),
    ("exit code", {}, _status("Failed", {"state": {"terminated": {"exitCode": 3}}}), ["0/1", "ExitCode:3", "0"]),
    ("signal", {}, _status("Failed", {"state": {"terminated": {"signal": 9, "exitCode": 137}}}),
     ["0/1", "Signal:9", "0"]),
    ("reason", {}, _status("Failed", reason="Evicted"), ["0/1", "Evicted", "0"]),
    ("one completed", {"containers": [{"name": "a"}, {"name": "b"}]},
     _status("Running", {"state": {"terminated": {"reason": "Completed", "exitCode": 0}}}, RUNNING,
             conditions=[{"type": "Ready", "status": "True"}]), ["1/2", "Running", "0"]),
    ("one completed, not ready", {"containers": [{"name": "a"}, {"name": "b"}]},
     _status("Running", {"state": {"terminated": {"reason": "Completed", "exitCode": 0}}}, RUNNING),
     ["1/2", "NotReady", "0"]),
    ("first init", {"initContainers": [{"name": "i"}, {"name": "j"}]},
     _status("Pending", initContainerStatuses=[{"name": "i", "state": {"running": {}}}]), ["0/1", "Init:0/2", "0"]),
    ("second init", {"initContainers": [{"name": "i"}, {"name": "j"}]},
     _status("Pending", initContainerStatuses=[
         {"name": "i", "state": {"terminated": {"exitCode": 0}}}, {"name": "j", "state": {"running": {}}}]),
     ["0/1", "Init:1/2", "0"]),
    ("init failed", {"initContainers": [{"name": "i"}]},
     _status("Pending", initContainerStatuses=[{"name": "i", "state": {"terminated": {"exitCode": 1}}}]),
     ["0/1", "Init:ExitCode:1", "0"]),
    ("init error", {"initContainers": [{"name": "i"}]},
     _status("Pending", initContainerStatuses=[{"name": "i", "restartCount": 2, "state": {
         "waiting": {"reason": "CrashLoopBackOff"}}}]), ["0/1", "Init:CrashLoopBackOff", "2"]),
    ("sidecar", {"initContainers": [{"name": "i", "restartPolicy": "Always"}]},
     _status("Running", RUNNING, initContainerStatuses=[{"name": "i", "started": True, **RESTARTED}]),
     ["2/2", "Running", "2 (5m ago)"]),
    ("gated", {}, {"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]},
     ["0/1", "SchedulingGated", "0"]),
]


@pytest.mark.parametrize(("spec", "status", "cells"), [c[1:] for c in PRINTED], ids=[c[0] for c in PRINTED])
def test_line(spec: Object, status: Object, cells: list[object]) -> None:
    obj = pod(**spec) | {"status": status}
    obj["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    assert line(POD, obj, NOW) == ["web", *cells, "60m"]


def test_terminating() -> None:
    obj = pod() | {"status": _status("Running", RUNNING)}
    obj["metadata"]["deletionTimestamp"] = NOW
    assert line(POD, obj, NOW)[2] == "Terminating"
    obj["status"] = _status("Succeeded")
    assert line(POD, obj, NOW)[2] == "Succeeded"


def test_wide_line() -> None:
    obj = pod(nodeName="n1", readinessGates=[{"conditionType": "x"}])
    assert line(POD, obj, NOW, wide=True)[5:] == ["<none>", "n1", "<none>", "0/1"]
    obj["status"] = {"podIPs": [{"ip": "10.1.0.2"}], "conditions": [{"type": "x", "status": "True"}]}
    assert line(POD, obj, NOW, wide=True)[5:] == ["10.1.0.2", "n1", "<none>", "1/1"]


def test_validation_changes_nothing() -> None:
    obj = POD.default(container(ports=[{"containerPort": 80}]))
    before = deepcopy(obj)
    POD.validate(obj, obj)
    assert obj == before
