"""What the server adds to Services, claims and pods."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vmpod.api.app import Api

if TYPE_CHECKING:
    from tests.api.conftest import Caller

NS = "/api/v1/namespaces/default"
SERVICES = f"{NS}/services"


def service(name: str = "s", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


async def test_addresses_are_given_kept_and_freed(call: Caller) -> None:
    made = await call("POST", SERVICES, service())
    ip = made["spec"]["clusterIP"]
    assert ip.startswith("10.96.") and made["spec"]["clusterIPs"] == [ip] and made["spec"]["ipFamilies"] == ["IPv4"]
    told = await call("POST", SERVICES, service("t", clusterIP=ip), code=422)
    assert "provided IP is already allocated" in told["message"]
    assert (await call("PUT", f"{SERVICES}/s", service()))["spec"]["clusterIP"] == ip
    await call.patch(f"{SERVICES}/s", {"spec": {"clusterIP": "10.96.9.9", "clusterIPs": ["10.96.9.9"]}}, code=422)
    await call("DELETE", f"{SERVICES}/s")
    assert (await call("POST", SERVICES, service("t", clusterIP=ip)))["spec"]["clusterIP"] == ip


@pytest.mark.parametrize(
    ("ip", "told"),
    [("10.0.0.1", "is not in the valid range. The range of valid IPs is 10.96.0.0/16"), ("nonsense", "valid")],
)
async def test_addresses_that_cannot_be_had(call: Caller, ip: str, told: str) -> None:
    assert told in (await call("POST", SERVICES, service(clusterIP=ip), code=422))["message"]


async def test_reserved_addresses(call: Caller) -> None:
    assert (await call("POST", SERVICES, service("kubernetes")))["spec"]["clusterIP"] == "10.96.0.1"
    await call("POST", "/api/v1/namespaces", {"metadata": {"name": "kube-system"}})
    made = await call("POST", "/api/v1/namespaces/kube-system/services", service("kube-dns"))
    assert made["spec"]["clusterIP"] == "10.96.0.10"


async def test_headless_and_external_services_have_none(call: Caller) -> None:
    assert (await call("POST", SERVICES, service("h", clusterIP="None")))["spec"]["clusterIPs"] == ["None"]
    made = await call("POST", SERVICES, {"metadata": {"name": "e"}, "spec": {"type": "ExternalName", "externalName": "a.b"}})
    assert "clusterIP" not in made["spec"]


async def test_node_ports(call: Caller) -> None:
    made = await call("POST", SERVICES, service(type="NodePort"))
    port = made["spec"]["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767
    told = await call("POST", SERVICES, service("t", type="NodePort", ports=[{"port": 1, "nodePort": port}]), code=422)
    assert told["message"].endswith(f"spec.ports[0].nodePort: Invalid value: {port}: provided port is already allocated")
    told = await call("POST", SERVICES, service("t", type="NodePort", ports=[{"port": 1, "nodePort": 80}]), code=422)
    assert "The range of valid ports is 30000-32767" in told["message"]
    assert (await call("PUT", f"{SERVICES}/s", service(type="NodePort")))["spec"]["ports"][0]["nodePort"] == port
    inside = await call("PUT", f"{SERVICES}/s", service(type="ClusterIP"))
    assert "nodePort" not in inside["spec"]["ports"][0]
    free = service("t", type="LoadBalancer", ports=[{"port": 1, "nodePort": port}])
    assert (await call("POST", SERVICES, free))["spec"]["ports"][0]["nodePort"] == port


async def test_a_refused_service_holds_nothing(call: Caller) -> None:
    wrong = service(clusterIP="10.96.7.7", ports=[{"port": 99999}])
    await call("POST", SERVICES, wrong, code=422)
    await call("POST", SERVICES, service(clusterIP="10.96.7.7"), code=201, dryRun="All")
    await call("POST", SERVICES, service(clusterIP="10.96.7.7"), code=201)


async def test_a_new_api_knows_what_is_taken(call: Caller, tmp_path: Path) -> None:
    ip = (await call("POST", SERVICES, service()))["spec"]["clusterIP"]
    call.api = Api(call.api.backend.store)
    await call("POST", SERVICES, service("t", clusterIP=ip), code=422)


async def test_claims_get_the_default_class(call: Caller) -> None:
    claims = f"{NS}/persistentvolumeclaims"
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    marked = {"storageclass.kubernetes.io/is-default-class": "true"}
    await call("POST", "/apis/storage.k8s.io/v1/storageclasses", {"metadata": {"name": "other"}, "provisioner": "x"})
    await call(
        "POST", "/apis/storage.k8s.io/v1/storageclasses",
        {"metadata": {"name": "local", "annotations": marked}, "provisioner": "x"},
    )
    assert (await call("POST", claims, {"metadata": {"name": "a"}, "spec": spec}))["spec"]["storageClassName"] == "local"
    none = await call("POST", claims, {"metadata": {"name": "b"}, "spec": {**spec, "storageClassName": ""}})
    assert none["spec"]["storageClassName"] == ""


async def test_own_tolerations_stay(call: Caller) -> None:
    own = [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}]
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}], "tolerations": own}}
    found = (await call("POST", f"{NS}/pods", pod))["spec"]["tolerations"]
    assert found[0] == own[0] and found[1]["key"] == "node.kubernetes.io/unreachable" and len(found) == 2


@pytest.mark.parametrize(
    ("given", "families", "policy"),
    [
        ({}, ["IPv4"], "SingleStack"),
        ({"ipFamilyPolicy": "PreferDualStack"}, ["IPv4", "IPv6"], "PreferDualStack"),
        ({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}, ["IPv6", "IPv4"], "RequireDualStack"),
        ({"ipFamilies": ["IPv6"]}, ["IPv6"], "SingleStack"),
        ({"clusterIP": "fd00:0:0:1::9"}, ["IPv6"], "SingleStack"),
        ({"clusterIP": "None", "ports": []}, ["IPv4", "IPv6"], "RequireDualStack"),
        ({"clusterIP": "None", "selector": {"a": "b"}}, ["IPv4"], "SingleStack"),
    ],
)
async def test_families(call6: Caller, given: dict[str, Any], families: list[str], policy: str) -> None:
    made = (await call6("POST", SERVICES, service(**given)))["spec"]
    assert (made["ipFamilies"], made["ipFamilyPolicy"]) == (families, policy)
    assert made["clusterIP"] == made["clusterIPs"][0]
    if made["clusterIP"] != "None":
        assert ["IPv6" if ip.startswith("fd00:0:0:1::") else "IPv4" for ip in made["clusterIPs"]] == families


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"ipFamilies": ["IPv4", "IPv6"]}, "spec.ipFamilyPolicy"),
        ({"ipFamilyPolicy": "SingleStack", "clusterIPs": ["10.96.0.9", "fd00:0:0:1::9"]}, "multiple 'clusterIPs'"),
        ({"clusterIP": "fd01::1"}, "is not in the valid range. The range of valid IPs is fd00:0:0:1::/112"),
        ({"clusterIP": "fd00:0:0:1::1", "ipFamilies": ["IPv4"]}, "expected an IPv4 value as indicated by"),
    ],
)
async def test_families_that_cannot_be(call6: Caller, given: dict[str, Any], told: str) -> None:
    assert told in (await call6("POST", SERVICES, service(**given), code=422))["message"]


async def test_a_second_family_comes_and_goes(call6: Caller) -> None:
    first = (await call6("POST", SERVICES, service()))["spec"]["clusterIPs"]
    dual = (await call6.patch(f"{SERVICES}/s", {"spec": {"ipFamilyPolicy": "PreferDualStack"}}))["spec"]
    assert dual["clusterIPs"][:1] == first and dual["ipFamilies"] == ["IPv4", "IPv6"]
    again = await call6("GET", f"{SERVICES}/s")
    assert (await call6("PUT", f"{SERVICES}/s", again))["spec"] == dual
    told = await call6.patch(f"{SERVICES}/s", {"spec": {"ipFamilies": ["IPv6", "IPv4"]}}, code=422)
    assert "spec.ipFamilies[0]" in told["message"]
    single = (await call6.patch(f"{SERVICES}/s", {"spec": {"ipFamilyPolicy": "SingleStack"}}))["spec"]
    assert (single["clusterIPs"], single["ipFamilies"]) == (first, ["IPv4"])
    freed = {"clusterIPs": dual["clusterIPs"][1:]}
    assert (await call6("POST", SERVICES, service("t", **freed)))["spec"]["clusterIP"] == dual["clusterIPs"][1]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"ipFamilyPolicy": "RequireDualStack"}, "this cluster is not configured for dual-stack services"),
        ({"ipFamilies": ["IPv6"]}, 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'),
        ({"clusterIP": "fd00::1"}, "may not use IPv6 on a cluster which is not configured for it"),
    ],
)
async def test_one_family_is_all_there_is(call: Caller, given: dict[str, Any], told: str) -> None:
    assert told in (await call("POST", SERVICES, service(**given), code=422))["message"]
    made = (await call("POST", SERVICES, service(ipFamilyPolicy="PreferDualStack")))["spec"]
    assert (made["ipFamilies"], made["ipFamilyPolicy"]) == (["IPv4"], "PreferDualStack")
