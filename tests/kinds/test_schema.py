"""Schemas: what is unknown, what has a wrong type, and documents that a real kubectl can work with."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vmpod.kinds import (
    CONFIGMAP,
    DATAVOLUME,
    DEPLOYMENT,
    KINDS,
    POD,
    SERVICE,
    VIRTUALMACHINE,
    schema,
)
from vmpod.kinds.kind import Kind
from vmpod.model import yaml
from vmpod.model.meta import Object

if TYPE_CHECKING:
    from tests.conftest import Kubectl

VM = """
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: x}
spec:
  runStrategy: Always
  template:
    metadata: {labels: {a: b}, anything: goes}
    spec:
      domain:
        cpu: {cores: 2}
        memory: {guest: 1Gi}
        clock: {timer: {hpet: {present: false}}, own: 1}
        devices:
          disks: [{name: d, disk: {bus: virtio}}]
          interfaces: [{name: default, masquerade: {}}]
        resources: {requests: {memory: 64M, cpu: 1}}
      volumes: [{name: d, containerDisk: {image: x}}]
"""


def pod(**spec: Any) -> Object:
    spec = {"containers": [{"name": "c", "image": "i"}]} | spec
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource)
def test_every_kind_has_a_schema(kind: Kind) -> None:
    assert schema.definition_name(kind) is not None
    empty = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "x"}}
    assert schema.unknown_fields(kind, empty) == []
    assert schema.unknown_fields(kind, {**empty, "zzz": 1}) == ["zzz"]


UNKNOWN: list[tuple[Kind, Object, list[str]]] = [
    (POD, pod(), []),
    (POD, pod(foo=1), ["spec.foo"]),
    (POD, pod(containers=[{"name": "a"}, {"name": "c", "foo": {}}]), ["spec.containers[1].foo"]),
    (POD, {"apiVersion": "v1", "kind": "Pod", "metadata": {"nmae": "x", "labels": {"any": "x"}}}, ["metadata.nmae"]),
    (POD, {"metadata": {"managedFields": [{"fieldsV1": {"f:metadata": {}}}]}}, []),
    (POD, pod(containers=[{"name": "c", "resources": {"limits": {"example.org/gpu": 1}}}]), []),
    (POD, pod(containers=[{"livenessProbe": {"httpGet": {"port": "x", "prot": 1}}}]), ["spec.containers[0].livenessProbe.httpGet.prot"]),
    (CONFIGMAP, {"data": {"any.key": "x"}}, []),
    (SERVICE, {"spec": {"ports": [{"port": 1, "targetPort": "x"}, {"prot": 2}]}}, ["spec.ports[1].prot"]),
    (VIRTUALMACHINE, yaml.load(VM), []),
    (VIRTUALMACHINE, {"spec": {"template": {"spec": {"domain": {"cpus": 1}}}}}, ["spec.template.spec.domain.cpus"]),
    (VIRTUALMACHINE, {"spec": {"dataVolumeTemplates": [{"metadata": {"x": 1}, "spec": {"pvc": {}, "y": 1}}]}}, ["spec.dataVolumeTemplates[0].spec.y"]),
    (DATAVOLUME, {"spec": {"source": {"http": {"url": "x", "uri": "y"}}}}, ["spec.source.http.uri"]),
]


@pytest.mark.parametrize(("kind", "obj", "paths"), UNKNOWN)
def test_unknown_fields(kind: Kind, obj: Object, paths: list[str]) -> None:
    assert schema.unknown_fields(kind, obj) == paths
    kept = schema.prune(kind, obj)
    assert schema.unknown_fields(kind, kept) == []
    assert (kept == obj) is not bool(paths)


def _type(path: str, wanted: str, got: str) -> str:
    return f'{path}: Invalid value: "{got}": {path} in body must be of type {wanted}: "{got}"'


FAULTS: list[tuple[Kind, Object, list[str]]] = [
    (POD, pod(), []),
    (POD, pod(containers="x"), [_type("spec.containers", "array", "string")]),
    (POD, pod(hostNetwork="yes"), [_type("spec.hostNetwork", "boolean", "string")]),
    (POD, pod(terminationGracePeriodSeconds=True), [_type("spec.terminationGracePeriodSeconds", "integer", "boolean")]),
    (POD, pod(containers=[{"image": "x"}]), ["spec.containers[0].name: Required value"]),
    (POD, pod(nodeSelector=None, tolerations=None), []),
    (POD, {"metadata": {"labels": {"a": 1}}}, [_type("metadata.labels.a", "string", "integer")]),
    (POD, {"spec": [], "metadata": "x"}, [_type("spec", "object", "array"), _type("metadata", "object", "string")]),
    (POD, {"status": {"containerStatuses": [{"name": "x"}]}}, []),
    (SERVICE, {"spec": {"ports": [{"port": 1, "targetPort": "http"}, {"port": 2, "targetPort": 8}]}}, []),
    (SERVICE, {"spec": {"ports": [{"port": "1"}]}}, [_type("spec.ports[0].port", "integer", "string")]),
    (DEPLOYMENT, {"spec": {"replicas": 1.5}}, ["spec.selector: Required value", "spec.template: Required value", _type("spec.replicas", "integer", "number")]),
    (VIRTUALMACHINE, yaml.load(VM), []),
    (VIRTUALMACHINE, {}, ["spec: Required value"]),
    (VIRTUALMACHINE, {"spec": {"template": {"spec": {"domain": {"devices": {}, "memory": {"guest": {}}}}}}}, [
        _type("spec.template.spec.domain.memory.guest", "integer,string", "object")]),
    (DATAVOLUME, {"spec": {"contentType": "iso"}}, ['spec.contentType: Unsupported value: "iso": supported values: "kubevirt", "archive"']),
]


@pytest.mark.parametrize(("kind", "obj", "told"), FAULTS)
def test_type_errors(kind: Kind, obj: Object, told: list[str]) -> None:
    assert [str(error) for error in schema.type_errors(kind, obj)] == told


def test_patch_schema() -> None:
    shape = schema.patch_schema(DEPLOYMENT)
    for step in ("spec", "template", "spec", "containers"):
        assert shape is not None
        shape = shape.field(step)
    assert shape is not None
    assert shape.merge_key == "name"
    assert shape.strategy == frozenset({"merge"})
    element = shape.items()
    assert element is not None
    ports = element.field("ports")
    assert ports is not None
    assert ports.merge_key == "containerPort"
    volumes = schema.patch_schema(POD)
    assert volumes is not None
    assert schema.patch_schema(VIRTUALMACHINE) is None


def test_memory() -> None:
    """Checking a Pod and a VirtualMachine must not bring all schemas into memory as Python objects."""
    script = (
        "from vmpod.kinds import POD, VIRTUALMACHINE, schema\n"
        "pages = lambda: int(open('/proc/self/statm').read().split()[1])\n"
        "before = pages()\n"
        f"schema.unknown_fields(POD, {pod()!r}); schema.type_errors(POD, {pod()!r})\n"
        f"vm = {yaml.load(VM)!r}\n"
        "schema.unknown_fields(VIRTUALMACHINE, vm); schema.type_errors(VIRTUALMACHINE, vm)\n"
        "print((pages() - before) * 4)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 8 * 1024


# --- OpenAPI ---


@pytest.mark.parametrize("path", schema.openapi_groups())
def test_documents_are_whole(path: str) -> None:
    text = schema.openapi_text(path)
    document = json.loads(text)
    schemas = document["components"]["schemas"]
    wanted = {word.split('"')[0] for word in text.decode().split("#/components/schemas/")[1:]}
    assert wanted <= schemas.keys()
    for kind in schema.openapi_groups()[path]:
        mark = {"group": kind.group, "version": path.rpartition("/")[2], "kind": kind.kind}
        assert [one for one in schemas.values() if mark in one.get("x-kubernetes-group-version-kind", [])]
        assert [item for item in document["paths"].values() if item.get("patch", {}).get("x-kubernetes-group-version-kind") == mark]


class _Server(ThreadingHTTPServer):
    """Discovery, OpenAPI documents and one stored object per path: what kubectl asks before it patches."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, Object] = {}
        self.patches: list[tuple[str, Object]] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, body: Any, code: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _missing(self) -> None:
        self._answer({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}, 404)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        if path == "openapi/v3":
            paths = {group: {"serverRelativeURL": f"/openapi/v3/{group}?hash=1"} for group in schema.openapi_groups()}
            self._answer({"paths": paths})
        elif path.startswith("openapi/v3/"):
            self._answer(schema.openapi_document(path.removeprefix("openapi/v3/")))
        elif (found := _discovery(path)) is not None:
            self._answer(found)
        elif f"/{path}" in self.server.objects:
            self._answer(self.server.objects[f"/{path}"])
        else:
            self._missing()

    def _body(self) -> Object:
        body: Object = json.loads(self.rfile.read(int(self.headers["content-length"])))
        return body

    def do_POST(self) -> None:
        body = self._body()
        self.server.objects[f"{self.path.partition('?')[0]}/{body['metadata']['name']}"] = body
        self._answer(body, 201)

    def do_PATCH(self) -> None:
        self.server.patches.append((self.headers["content-type"], self._body()))
        self._answer(self.server.objects[self.path.partition("?")[0]])


def _discovery(path: str) -> Object | None:
    groups = {group: kinds for group, kinds in schema.openapi_groups().items() if "alpha" not in group}
    if path == "api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "apis":
        versions = [group.removeprefix("apis/") for group in groups if group != "api/v1"]
        named = [{"groupVersion": one, "version": one.split("/")[1]} for one in versions]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [
            {"name": one["groupVersion"].split("/")[0], "versions": [one], "preferredVersion": one} for one in named
        ]}
    if path not in groups:
        return None
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    resources = [
        {"name": kind.plural, "singularName": kind.singular_name, "namespaced": kind.namespaced, "kind": kind.kind,
         "verbs": verbs, "shortNames": list(kind.short_names)} for kind in groups[path]
    ]
    version = path.removeprefix("apis/").removeprefix("api/")
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


@pytest.fixture
def server() -> Iterator[_Server]:
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _url(server: _Server, kubectl: Kubectl, tmp_path: Path) -> list[str]:
    return ["--server", f"http://127.0.0.1:{server.server_port}", "--cache-dir", str(tmp_path / "cache")]


EXPLAINED = [
    ("pods.spec.containers", ["KIND:       Pod", "FIELD: containers <[]Container>", "imagePullPolicy\t<string>"]),
    ("deployments.spec.strategy", ["GROUP:      apps", "rollingUpdate\t<RollingUpdateDeployment>"]),
    ("vm.spec.template.spec.domain", ["GROUP:      kubevirt.io", "devices\t<Object> -required-", "memory\t<Object>"]),
    ("dv.spec.source", ["GROUP:      cdi.kubevirt.io", "http\t<Object>"]),
    ("services.spec.ports.targetPort", ["FIELD: targetPort <IntOrString>"]),
]


@pytest.mark.host
@pytest.mark.parametrize(("what", "words"), EXPLAINED)
def test_explain(server: _Server, kubectl: Kubectl, tmp_path: Path, what: str, words: list[str]) -> None:
    told = kubectl.run(*_url(server, kubectl, tmp_path), "explain", what).stdout
    assert [word for word in words if word not in told] == [], told


@pytest.mark.host
def test_apply_makes_strategic_patches(server: _Server, kubectl: Kubectl, tmp_path: Path) -> None:
    file = tmp_path / "deployment.json"
    obj: Any = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "namespace": "default"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {
            "containers": [{"name": "one", "image": "i:1"}, {"name": "two", "image": "i:1"}]}}}}
    file.write_text(json.dumps(obj))
    kubectl.run(*_url(server, kubectl, tmp_path), "apply", "-f", str(file))
    assert "/apis/apps/v1/namespaces/default/deployments/x" in server.objects
    containers = obj["spec"]["template"]["spec"]["containers"]
    containers[1]["image"] = "i:2"
    file.write_text(json.dumps(obj))
    kubectl.run(*_url(server, kubectl, tmp_path), "apply", "-f", str(file))
    [(media, patch)] = server.patches
    assert media == "application/strategic-merge-patch+json"
    assert patch["spec"]["template"]["spec"] == {
        "$setElementOrder/containers": [{"name": "one"}, {"name": "two"}], "containers": [{"image": "i:2", "name": "two"}],
    }


@pytest.mark.host
def test_apply_merges_custom_kinds(server: _Server, kubectl: Kubectl, tmp_path: Path) -> None:
    file = tmp_path / "vm.yaml"
    file.write_text(VM)
    kubectl.run(*_url(server, kubectl, tmp_path), "apply", "-f", str(file))
    file.write_text(VM.replace("cores: 2", "cores: 3"))
    kubectl.run(*_url(server, kubectl, tmp_path), "apply", "-f", str(file))
    [(media, patch)] = server.patches
    assert media == "application/merge-patch+json"
    assert patch["spec"] == {"template": {"spec": {"domain": {"cpu": {"cores": 3}}}}}
