"""Service: defaults, rules, what an update keeps, cells."""

from __future__ import annotations

import pytest

from vmpod.kinds import SERVICE
from vmpod.model.meta import Object

from .objects import faults, header, line, service

NOW = "2026-01-01T01:00:00Z"
PORT: Object = {"port": 80, "protocol": "TCP", "targetPort": 80}


@pytest.mark.parametrize(("given", "wanted"), [
    ({}, {"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"}),
    ({"type": "NodePort"}, {"type": "NodePort", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
                            "externalTrafficPolicy": "Cluster"}),
    ({"type": "LoadBalancer"}, {
        "type": "LoadBalancer", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
        "externalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": True}),
    ({"type": "ExternalName", "externalName": "a.b"},
     {"type": "ExternalName", "sessionAffinity": "None", "externalName": "a.b"}),
    ({"sessionAffinity": "ClientIP"}, {
        "type": "ClusterIP", "sessionAffinity": "ClientIP", "internalTrafficPolicy": "Cluster",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}}),
])
def test_defaults(given: Object, wanted: Object) -> None:
    spec = SERVICE.default(service(**given))["spec"]
    assert spec == {"selector": {"app": "web"}, "ports": [PORT]} | wanted


@pytest.mark.parametrize(("given", "told"), [
    ({"ports": []}, "spec.ports: Required value"),
    ({"ipFamilies": ["IPv4", "IPv5"]}, 'spec.ipFamilies[1]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"'),
    ({"ipFamilies": ["IPv4", "IPv4"]}, 'spec.ipFamilies[1]: Duplicate value: "IPv4"'),
    ({"clusterIPs": ["fd00::1"], "ipFamilies": ["IPv4"]}, 'spec.clusterIPs[0]: Invalid value: "fd00::1": '
     "expected an IPv4 value as indicated by `ipFamilies[0]`"),
    ({"clusterIPs": ["10.1.0.1", "10.1.0.2"]}, 'spec.clusterIPs: Invalid value: ["10.1.0.1","10.1.0.2"]: '
     "may specify no more than one IP for each IP family"),
    ({"clusterIPs": ["10.1.0.1", "fd00::1", "fd00::2"]}, 'spec.clusterIPs: Invalid value: '
     '["10.1.0.1","fd00::1","fd00::2"]: may only hold up to 2 values'),
    ({"ipFamilyPolicy": "Any"},
     'spec.ipFamilyPolicy: Unsupported value: "Any": supported values: "PreferDualStack", "RequireDualStack", "SingleStack"'),
    ({"ports": [{"port": 0}]}, "spec.ports[0].port: Required value"),
    ({"ports": [{"port": 70000}]}, "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive"),
    ({"ports": [{"port": 1}, {"port": 2, "name": "b"}]}, "spec.ports[0].name: Required value"),
    ({"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]}, 'spec.ports[1].name: Duplicate value: "a"'),
    ({"ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]},
     'spec.ports[1]: Duplicate value: {"port":1,"protocol":"TCP"}'),
    ({"ports": [{"port": 1, "nodePort": 30000}]},
     "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"),
    ({"ports": [{"port": 1, "targetPort": "a--b"}]},
     'spec.ports[0].targetPort: Invalid value: "a--b": must not contain consecutive hyphens'),
    ({"type": "Cluster"}, 'spec.type: Unsupported value: "Cluster": supported values: "ClusterIP", "ExternalName", '
     '"LoadBalancer", "NodePort"'),
    ({"type": "ExternalName"}, "spec.externalName: Required value"),
    ({"externalTrafficPolicy": "Local"}, 'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for '
     "externally-accessible services"),
    ({"type": "NodePort", "clusterIP": "None"},
     "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"),
    ({"clusterIP": "10.0.0"},
     'spec.clusterIPs[0]: Invalid value: "10.0.0": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
    ({"sessionAffinity": "x"},
     'spec.sessionAffinity: Unsupported value: "x": supported values: "ClientIP", "None"'),
])
def test_wrong(given: Object, told: str) -> None:
    assert told in faults(SERVICE, service(**given))


def test_right() -> None:
    assert faults(SERVICE, service()) == []
    assert faults(SERVICE, service(clusterIP="None", ports=[])) == []
    assert faults(SERVICE, service(type="LoadBalancer", externalTrafficPolicy="Cluster")) == []
    assert faults(SERVICE, service(ports=[{"port": 53, "name": "a", "protocol": "UDP"}, {"port": 53, "name": "b"}])) == []


def test_name_is_a_dns_label() -> None:
    obj = service()
    obj["metadata"]["name"] = "1web"
    assert faults(SERVICE, obj)[0].startswith('metadata.name: Invalid value: "1web": a DNS-1035 label must consist of')


def _stored(**spec: object) -> Object:
    drawn = {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
    return SERVICE.default(service(**(drawn | spec)))


def test_update_keeps_what_was_drawn() -> None:
    old = _stored(type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
    new = SERVICE.prepare_update(SERVICE.default(service(type="NodePort")), old)
    assert new["spec"] == old["spec"]
    assert SERVICE.validate(new, old) == []


def test_update_drops_what_only_the_former_type_had() -> None:
    old = _stored(type="LoadBalancer", ports=[{"port": 80, "nodePort": 30080}])
    asked = _stored(type="LoadBalancer", ports=[{"port": 80, "nodePort": 30080}])
    asked["spec"]["type"] = "ClusterIP"
    new = SERVICE.prepare_update(SERVICE.default(asked), old)
    assert "nodePort" not in new["spec"]["ports"][0]
    assert "externalTrafficPolicy" not in new["spec"]
    assert SERVICE.validate(new, old) == []


def test_cluster_ip_may_not_change() -> None:
    old = _stored()
    new = SERVICE.default(service(clusterIP="10.96.0.10", clusterIPs=["10.96.0.10"]))
    assert [str(error) for error in SERVICE.validate(new, old)] == [
        'spec.clusterIPs[0]: Invalid value: ["10.96.0.10"]: may not change once set',
    ]


def test_warnings() -> None:
    obj = SERVICE.default(service(sessionAffinity="ClientIP", loadBalancerClass="x"))
    assert SERVICE.warnings(obj) == [
        "spec.loadBalancerClass: not supported yet, ignored",
    ]


@pytest.mark.parametrize(("spec", "status", "cells"), [
    ({}, {}, ["ClusterIP", "10.96.0.9", "<none>", "80/TCP"]),
    ({"clusterIP": "None", "clusterIPs": ["None"], "ports": []}, {}, ["ClusterIP", "None", "<none>", "<none>"]),
    ({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}, {"port": 443}]}, {},
     ["NodePort", "10.96.0.9", "<none>", "80:30080/TCP,443/TCP"]),
    ({"type": "LoadBalancer"}, {}, ["LoadBalancer", "10.96.0.9", "<pending>", "80/TCP"]),
    ({"type": "LoadBalancer"}, {"loadBalancer": {"ingress": [{"ip": "10.97.0.1"}]}},
     ["LoadBalancer", "10.96.0.9", "10.97.0.1", "80/TCP"]),
    ({"externalIPs": ["1.2.3.4"]}, {}, ["ClusterIP", "10.96.0.9", "1.2.3.4", "80/TCP"]),
    ({"type": "ExternalName", "externalName": "a.b", "clusterIP": "", "clusterIPs": []}, {},
     ["ExternalName", "<none>", "a.b", "80/TCP"]),
])
def test_line(spec: Object, status: Object, cells: list[object]) -> None:
    obj = _stored(**spec) | {"status": status}
    obj["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    assert header(SERVICE, wide=True) == "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE SELECTOR"
    assert line(SERVICE, obj, NOW, wide=True) == ["web", *cells, "60m", "app=web"]


@pytest.mark.parametrize("wrong", [True, 1, "x", {"a": 1}])
def test_a_line_of_addresses_that_are_no_list(wrong: object) -> None:
    obj = _stored(clusterIPs=wrong, externalIPs=wrong)
    obj["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    assert line(SERVICE, obj, NOW, wide=True)[1:4] == ["ClusterIP", "10.96.0.9", "<none>"]
