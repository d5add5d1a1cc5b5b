"""Real kubectl against a live API."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Kube

pytestmark = pytest.mark.host

SHOP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {part: shop}}
data: {colour: red}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {part: shop}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "web:1", ports: [{containerPort: 80}], env: [{name: A, value: "1"}]}
      - {name: side, image: "side:1"}
---
apiVersion: v1
kind: Service
metadata: {name: web, labels: {part: shop}}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""


async def test_config_maps_and_namespaces_live_and_end(kube: Kube) -> None:
    assert await kube("create", "namespace", "shop") == "namespace/shop created\n"
    assert await kube("create", "configmap", "a", "--from-literal=x=1", "-n", "shop") == "configmap/a created\n"
    assert json.loads(await kube("get", "cm", "a", "-n", "shop", "-o", "json"))["data"] == {"x": "1"}
    assert "already exists" in await kube.refused("create", "configmap", "a", "-n", "shop")
    assert await kube("delete", "configmap", "a", "-n", "shop") == 'configmap "a" deleted\n'
    assert "NotFound" in await kube.refused("get", "cm", "a", "-n", "shop")
    assert 'namespaces "none" not found' in await kube.refused("create", "configmap", "a", "-n", "none")


async def test_apply_changes_only_what_changed(kube: Kube) -> None:
    assert (await kube("apply", "-f", "-", stdin=SHOP)).count("created") == 3
    assert (await kube("apply", "-f", "-", stdin=SHOP)).count("unchanged") == 3
    changed = SHOP.replace("red", "blue").replace("web:1", "web:2").replace(', env: [{name: A, value: "1"}]', "")
    told = await kube("apply", "-f", "-", stdin=changed)
    assert told.count("configured") == 2 and "service/web unchanged" in told
    deployment = json.loads(await kube("get", "deploy", "web", "-o", "json"))
    assert [one["image"] for one in deployment["spec"]["template"]["spec"]["containers"]] == ["web:2", "side:1"]
    assert "env" not in deployment["spec"]["template"]["spec"]["containers"][0]
    assert deployment["metadata"]["generation"] == 2
    assert await kube("diff", "-f", "-", stdin=changed) == ""


async def test_apply_prunes(kube: Kube) -> None:
    await kube("apply", "-f", "-", stdin=SHOP)
    less = "---".join(SHOP.split("---")[1:])
    kinds = [f"--prune-allowlist={kind}" for kind in ("core/v1/ConfigMap", "core/v1/Service", "apps/v1/Deployment")]
    told = await kube("apply", "--prune", "-l", "part=shop", *kinds, "-f", "-", stdin=less)
    assert "configmap/settings pruned" in told


async def test_typed_creates_arrive_as_protobuf(kube: Kube) -> None:
    await kube("create", "deployment", "d", "--image=web:1", "--replicas=0", "--port=80", "--", "sleep", "1")
    found = json.loads(await kube("get", "deploy", "d", "-o", "json"))
    container = found["spec"]["template"]["spec"]["containers"][0]
    assert (found["spec"]["replicas"], container["command"]) == (0, ["sleep", "1"])
    await kube("create", "secret", "generic", "s", "--from-literal=a=b")
    assert json.loads(await kube("get", "secret", "s", "-o", "json"))["data"] == {"a": "Yg=="}
    await kube("create", "service", "nodeport", "n", "--tcp=80:http", "--node-port=30080")
    port = json.loads(await kube("get", "svc", "n", "-o", "json"))["spec"]["ports"][0]
    assert (port["nodePort"], port["targetPort"]) == (30080, "http")


async def test_label_annotate_patch_scale_and_replace(kube: Kube) -> None:
    await kube("apply", "-f", "-", stdin=SHOP)
    await kube("label", "cm", "settings", "tier=back")
    await kube("annotate", "cm", "settings", "who=me")
    assert "settings" in await kube("get", "cm", "-l", "tier=back")
    assert "No resources" in (await kube.run("get", "cm", "-l", "tier!=back,part=shop")).stderr
    await kube("label", "cm", "settings", "tier-")
    await kube("patch", "cm", "settings", "--type=json", "-p", '[{"op":"add","path":"/data/n","value":"1"}]')
    await kube("patch", "cm", "settings", "--type=merge", "-p", '{"data":{"colour":null}}')
    assert await kube("get", "cm", "settings", "-o", "jsonpath={.data}") == '{"n":"1"}'
    await kube("scale", "deploy", "web", "--replicas=5")
    assert await kube("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "5"
    assert "Expected replicas to be 2, was 5" in await kube.refused("scale", "deploy", "web", "--replicas=1", "--current-replicas=2")
    shown = await kube("get", "cm", "settings", "-o", "json")
    await kube("replace", "-f", "-", stdin=shown.replace('"n": "1"', '"n": "2"'))
    assert "the object has been modified" in await kube.refused("replace", "-f", "-", stdin=shown)
    await kube("set", "image", "deploy/web", "web=web:9")
    assert "web:9" in await kube("get", "deploy", "web", "-o", "wide")


async def test_unknown_fields_are_told_by_path(kube: Kube) -> None:
    wrong = SHOP.replace("replicas: 2", "replicas: 2\n  colour: red")
    told = await kube.refused("create", "-f", "-", stdin=wrong)
    assert 'Deployment in version "v1" cannot be handled as a Deployment' in told
    assert 'strict decoding error: unknown field "spec.colour"' in told
    warned = await kube.run("apply", "--validate=warn", "-f", "-", stdin=wrong)
    assert 'Warning: unknown field "spec.colour"' in warned.stderr
    assert "colour" not in await kube("get", "deploy", "web", "-o", "jsonpath={.spec}")
    assert 'unknown field "spec.colour"' in await kube.refused("apply", "-f", "-", stdin=wrong)


async def test_all_faults_are_told_at_once(kube: Kube) -> None:
    wrong = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: A_b, labels: {"a b": c}}'
    told = await kube.refused("create", "-f", "-", stdin=wrong)
    assert 'The ConfigMap "A_b" is invalid' in told
    assert "metadata.name" in told and "metadata.labels" in told


async def test_discovery_explain_and_describe(kube: Kube) -> None:
    resources = await kube("api-resources")
    for word in ("configmaps", "deployments", "virtualmachines", "vmi,vmis", "dv,dvs"):
        assert word in resources
    assert "kubevirt.io/v1\n" in await kube("api-versions")
    assert "Number of desired pods" in await kube("explain", "deployment.spec.replicas")
    assert "FIELDS:" in await kube("explain", "vm.spec.template.spec.domain")
    await kube("apply", "-f", "-", stdin=SHOP)
    assert "2 desired" in await kube("describe", "deploy", "web")
    assert "TargetPort:               8080/TCP" in await kube("describe", "svc", "web")
    assert "v1.35.0" in await kube("version")
    assert "web" in await kube("get", "all")


async def test_watch_and_wait_see_changes(kube: Kube) -> None:
    watching = await kube.start("get", "cm", "-w", "--no-headers")
    assert watching.stdout is not None
    await kube("create", "configmap", "a", "--from-literal=x=1")
    async with asyncio.timeout(60):
        assert (await watching.stdout.readline()).split()[:2] == [b"a", b"1"]
        await kube("patch", "cm", "a", "-p", '{"data":{"y":"2"}}')
        assert (await watching.stdout.readline()).split()[:2] == [b"a", b"2"]
    watching.kill()
    await watching.communicate()
    waiting = await kube.start("wait", "--for=delete", "cm/a", "--timeout=10s")
    await asyncio.sleep(0.3)
    await kube("delete", "cm", "a")
    out, _ = await waiting.communicate()
    assert waiting.returncode == 0 and b"condition met" in out


async def test_pages_and_sort(kube: Kube) -> None:
    many = "---\n".join(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{n:02}}}\n" for n in range(12))
    await kube("create", "-f", "-", stdin=many)
    assert (await kube("get", "cm", "--chunk-size=5", "-o", "name")).splitlines() == [f"configmap/c{n:02}" for n in range(12)]
    assert "deleted" in await kube("delete", "cm", "--all")
    assert await kube("get", "cm", "-o", "name") == ""


async def test_machines_are_at_home(kube: Kube) -> None:
    machine = """
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: orders}
spec:
  runStrategy: Halted
  template:
    spec:
      domain: {devices: {disks: [{name: root, disk: {bus: virtio}}]}, memory: {guest: 256Mi}}
      volumes: [{name: root, containerDisk: {image: "orders:1"}}]
"""
    await kube("apply", "-f", "-", stdin=machine)
    assert "configured" in await kube("apply", "-f", "-", stdin=machine.replace("256Mi", "512Mi"))
    assert await kube("get", "vm", "orders", "-o", "jsonpath={.spec.template.spec.domain.memory.guest}") == "512Mi"
    assert "is not supported by kubevirt.io/v1" in await kube.refused("patch", "vm", "orders", "-p", '{"spec":{"runStrategy":"Always"}}')
    assert "server-side apply" in await kube.refused("apply", "--server-side", "-f", "-", stdin=machine)
    old = machine.replace("kubevirt.io/v1", "kubevirt.io/v1alpha3")
    await kube("apply", "-f", "-", stdin=old)
    shown = await kube("get", "virtualmachines.v1alpha3.kubevirt.io", "orders", "-o", "json")
    assert json.loads(shown)["apiVersion"] == "kubevirt.io/v1alpha3"
