"""Namespace, Node, Event, Lease, ControllerRevision, ServiceAccount, Endpoints, EndpointSlice and the singletons."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.kinds import (
    CDI,
    CDICONFIG,
    CONTROLLERREVISION,
    ENDPOINTS,
    ENDPOINTSLICE,
    EVENT,
    KUBEVIRT,
    LEASE,
    NAMESPACE,
    NODE,
    SERVICEACCOUNT,
    STORAGEPROFILE,
    schema,
)
from vmpod.model.meta import Object

from .objects import faults, header, line

NOW = "2026-01-01T01:00:00Z"
MADE = "2026-01-01T00:00:00Z"


def named(api_version: str, kind: str, **fields: Any) -> Object:
    meta = {"name": "x", "namespace": "default", "creationTimestamp": MADE}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **fields}


def test_namespace() -> None:
    made = NAMESPACE.prepare_create(NAMESPACE.default({"metadata": {"name": "a"}}))
    assert made == {
        "metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
    }
    assert header(NAMESPACE) == "NAME STATUS AGE"
    assert line(NAMESPACE, made, NOW) == ["a", "Active", "<unknown>"]
    assert faults(NAMESPACE, {"metadata": {"name": "a.b"}})[0].startswith(
        'metadata.name: Invalid value: "a.b": a lowercase RFC 1123 label must consist of')


def test_namespace_keeps_its_finalizer_while_it_lives() -> None:
    old = NAMESPACE.prepare_create(NAMESPACE.default({"metadata": {"name": "a"}}))
    assert NAMESPACE.prepare_update({"metadata": {"name": "a"}}, old)["spec"] == {"finalizers": ["kubernetes"]}
    old["metadata"]["deletionTimestamp"] = NOW
    gone = NAMESPACE.prepare_update({"metadata": {"name": "a"}, "spec": {"finalizers": []}}, old)
    assert gone["spec"] == {"finalizers": []}


@pytest.mark.parametrize(("spec", "conditions", "shown"), [
    ({}, [{"type": "Ready", "status": "True"}], "Ready"), ({}, [{"type": "Ready", "status": "False"}], "NotReady"),
    ({}, [], "Unknown"),
    ({"unschedulable": True}, [{"type": "Ready", "status": "True"}], "Ready,SchedulingDisabled"),
])
def test_node_status(spec: Object, conditions: list[Object], shown: str) -> None:
    assert line(NODE, named("v1", "Node", spec=spec, status={"conditions": conditions}), NOW)[1] == shown


def test_node_line() -> None:
    assert header(NODE, wide=True) == (
        "NAME STATUS ROLES AGE VERSION INTERNAL-IP EXTERNAL-IP OS-IMAGE KERNEL-VERSION CONTAINER-RUNTIME")
    info = {"kubeletVersion": "v1.35.0", "osImage": "Debian", "kernelVersion": "6.12", "containerRuntimeVersion": "podman://5"}
    node = named("v1", "Node", status={
        "conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": info,
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]})
    node["metadata"]["labels"] = {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}
    assert line(NODE, node, NOW, wide=True) == [
        "x", "Ready", "control-plane,worker", "60m", "v1.35.0", "10.0.0.1", "<none>", "Debian", "6.12", "podman://5"]
    assert line(NODE, named("v1", "Node"), NOW)[2] == "<none>"


def test_node_gives_out_all_it_has() -> None:
    made = NODE.default(named("v1", "Node", status={"capacity": {"cpu": "2"}}))
    assert made["status"]["allocatable"] == {"cpu": "2"}


def event(**fields: Any) -> Object:
    about = {"kind": "Pod", "name": "web", "namespace": "default", "fieldPath": "spec.containers{main}"}
    return named("v1", "Event", involvedObject=about) | fields


def test_event() -> None:
    assert EVENT.default(event())["type"] == "Normal"
    assert faults(EVENT, event()) == []
    assert faults(EVENT, event(involvedObject={"kind": "Pod", "namespace": "other"})) == [
        'involvedObject.namespace: Invalid value: "other": does not match event.namespace']


def test_event_line() -> None:
    assert header(EVENT) == "LAST SEEN TYPE REASON OBJECT MESSAGE"
    assert header(EVENT, wide=True) == (
        "LAST SEEN TYPE REASON OBJECT SUBOBJECT SOURCE MESSAGE FIRST SEEN COUNT NAME")
    obj = event(type="Warning", reason="BackOff", message="Back-off \n", count=3, firstTimestamp=MADE,
                lastTimestamp="2026-01-01T00:59:00Z", source={"component": "kubelet", "host": "n1"})
    assert line(EVENT, obj, NOW) == ["60s", "Warning", "BackOff", "pod/web", "Back-off"]
    assert line(EVENT, obj, NOW, wide=True) == [
        "60s", "Warning", "BackOff", "pod/web", "spec.containers{main}", "kubelet, n1", "Back-off", "60m", 3, "x"]
    modern = event(eventTime="2026-01-01T00:59:30.000000Z", reportingComponent="a", reportingInstance="b")
    assert line(EVENT, modern, NOW)[0] == "30s"
    assert line(EVENT, modern, NOW, wide=True)[5] == "a, b"
    modern["series"] = {"count": 7, "lastObservedTime": "2026-01-01T00:59:50.000000Z"}
    assert line(EVENT, modern, NOW, wide=True)[0::8] == ["10s", 7]


def test_lease() -> None:
    obj = named("coordination.k8s.io/v1", "Lease", spec={"holderIdentity": "me", "leaseDurationSeconds": 0})
    assert faults(LEASE, obj) == ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"]
    assert header(LEASE) == "NAME HOLDER AGE"
    assert line(LEASE, obj, NOW) == ["x", "me", "60m"]


def test_controller_revision() -> None:
    assert header(CONTROLLERREVISION) == "NAME CONTROLLER REVISION AGE"
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "1", "controller": True}
    obj = named("apps/v1", "ControllerRevision", data={"spec": {"template": {"x": [1]}}}, revision=3)
    assert schema.prune(CONTROLLERREVISION, obj) == obj
    assert not schema.type_errors(CONTROLLERREVISION, obj)
    assert faults(CONTROLLERREVISION, obj) == []
    assert line(CONTROLLERREVISION, obj, NOW) == ["x", "<none>", 3, "60m"]
    obj["metadata"]["ownerReferences"] = [owner]
    assert line(CONTROLLERREVISION, obj, NOW)[1] == "statefulset.apps/web"
    obj["metadata"]["ownerReferences"] = [owner | {"apiVersion": "v1", "kind": "Pod"}]
    assert line(CONTROLLERREVISION, obj, NOW)[1] == "pod/web"
    assert CONTROLLERREVISION.default(named("apps/v1", "ControllerRevision"))["revision"] == 0
    assert faults(CONTROLLERREVISION, named("apps/v1", "ControllerRevision", revision=-1)) == [
        "data: Required value: data is mandatory",
        "revision: Invalid value: -1: must be greater than or equal to 0",
    ]


def test_the_data_of_a_revision_never_changes() -> None:
    old = named("apps/v1", "ControllerRevision", data={"a": 1}, revision=1)
    assert faults(CONTROLLERREVISION, old | {"revision": 2}, old) == []
    assert faults(CONTROLLERREVISION, old | {"data": {"a": 2}}, old) == [
        'data: Invalid value: {"a":2}: field is immutable']


def test_service_account() -> None:
    assert header(SERVICEACCOUNT) == "NAME SECRETS AGE"
    assert line(SERVICEACCOUNT, named("v1", "ServiceAccount"), NOW) == ["x", 0, "60m"]


def test_endpoints() -> None:
    assert header(ENDPOINTS) == "NAME ENDPOINTS AGE"
    addresses = [{"ip": f"10.1.0.{n}"} for n in range(1, 6)]
    obj = ENDPOINTS.default(named("v1", "Endpoints", subsets=[{"addresses": addresses, "ports": [{"port": 80}]}]))
    assert obj["subsets"][0]["ports"] == [{"port": 80, "protocol": "TCP"}]
    assert line(ENDPOINTS, obj, NOW)[1] == "10.1.0.1:80,10.1.0.2:80,10.1.0.3:80 + 2 more..."
    assert line(ENDPOINTS, named("v1", "Endpoints"), NOW)[1] == "<none>"
    assert faults(ENDPOINTS, obj) == []
    bad = named("v1", "Endpoints", subsets=[{"addresses": [{"ip": "127.0.0.1"}], "ports": [{}]}, {}])
    assert faults(ENDPOINTS, bad) == [
        'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
        "subsets[0].ports[0].port: Required value",
        "subsets[1]: Required value: must specify `addresses` or `notReadyAddresses`",
    ]


def test_endpoint_slice() -> None:
    assert header(ENDPOINTSLICE) == "NAME ADDRESSTYPE PORTS ENDPOINTS AGE"
    obj = ENDPOINTSLICE.default(named(
        "discovery.k8s.io/v1", "EndpointSlice", addressType="IPv4", ports=[{"port": 80}, {"name": "any"}],
        endpoints=[{"addresses": ["10.1.0.1"]}, {"addresses": ["10.1.0.2"]}]))
    assert obj["ports"][0] == {"port": 80, "name": "", "protocol": "TCP"}
    assert line(ENDPOINTSLICE, obj, NOW) == ["x", "IPv4", "80,any", "10.1.0.1,10.1.0.2", "60m"]
    assert faults(ENDPOINTSLICE, obj) == []
    empty = named("discovery.k8s.io/v1", "EndpointSlice", endpoints=[{}])
    assert line(ENDPOINTSLICE, empty | {"endpoints": []}, NOW)[2:4] == ["<unset>", "<unset>"]
    assert faults(ENDPOINTSLICE, empty) == [
        "addressType: Required value", "endpoints[0].addresses: Required value: must contain at least 1 address"]
    six = {"addressType": "IPv6", "endpoints": [{"addresses": ["fd00::1"]}]}
    assert faults(ENDPOINTSLICE, obj | six) == []
    assert faults(ENDPOINTSLICE, obj | six, obj) == ['addressType: Invalid value: "IPv6": field is immutable']
    assert faults(ENDPOINTSLICE, obj | {"endpoints": six["endpoints"]}) == [
        'endpoints[0].addresses[0]: Invalid value: "fd00::1": must be a valid IPv4 address']


def test_singletons() -> None:
    assert header(KUBEVIRT) == header(CDI) == "NAME AGE PHASE"
    assert header(CDICONFIG) == "NAME AGE"
    obj = named("kubevirt.io/v1", "KubeVirt", spec={"configuration": {"a": 1}}, status={"phase": "Deployed"})
    assert line(KUBEVIRT, obj, NOW) == ["x", "60m", "Deployed"]
    assert CDI.warnings(obj) == ["spec.configuration: not supported yet, ignored"]
    assert KUBEVIRT.warnings(obj) == ["spec.configuration.a: not supported yet, ignored"]


def test_what_of_cdis_configuration_is_not_acted_on_is_named() -> None:
    config: dict[str, object] = {
        "uploadProxyURLOverride": "https://up", "insecureRegistries": ["a"], "importProxy": {"HTTPProxy": "http://p"},
        "scratchSpaceStorageClass": "fast", "filesystemOverhead": {"global": "0.1"}, "dataVolumeTTLSeconds": 5,
        "featureGates": ["HonorWaitForFirstConsumer", "Other"],
    }  # fmt: skip
    paths = ("scratchSpaceStorageClass", "filesystemOverhead", "dataVolumeTTLSeconds", "featureGates[1]")
    assert CDICONFIG.warnings({"spec": config}) == [f"spec.{path}: not supported yet, ignored" for path in paths]
    told = CDI.warnings({"spec": {"config": config, "imagePullPolicy": "Always"}})
    assert told == [f"spec.{path}: not supported yet, ignored" for path in ("imagePullPolicy", *(f"config.{one}" for one in paths))]


@pytest.mark.parametrize(("spec", "warned"), [
    ({"cloneStrategy": "snapshot", "dataImportCronSourceFormat": "pvc"}, []), ({"cloneStrategy": "csi-clone"}, []),
    ({"cloneStrategy": "copy"}, ["spec.cloneStrategy"]), ({"snapshotClass": "x"}, ["spec.snapshotClass"]),
    ({"dataImportCronSourceFormat": "snapshot"}, ["spec.dataImportCronSourceFormat"]),
])  # fmt: skip
def test_what_a_storage_profile_asks_for_in_vain(spec: dict[str, object], warned: list[str]) -> None:
    assert STORAGEPROFILE.warnings({"spec": spec}) == [f"{path}: not supported yet, ignored" for path in warned]
