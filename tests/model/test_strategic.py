"""Strategic merge patches, compared with what kubectl makes of the same ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vmpod.kinds import CONFIGMAP, DEPLOYMENT, POD, SERVICE, schema
from vmpod.kinds.kind import Kind
from vmpod.model import yaml
from vmpod.model.meta import Object, clone
from vmpod.model.patch import json_patch, merge_patch, strategic_merge
from vmpod.model.status import ApiError

if TYPE_CHECKING:
    from tests.conftest import Kubectl

_POD = """
apiVersion: v1
kind: Pod
metadata:
  name: x
  labels: {a: one, b: two}
  finalizers: [example.org/a, example.org/b, example.org/c]
spec:
  containers:
  - name: web
    image: web:1
    command: [run, it]
    ports: [{containerPort: 80, name: http, protocol: TCP}, {containerPort: 443, protocol: TCP}]
    env: [{name: A, value: "1"}, {name: B, value: "2"}]
    resources: {limits: {cpu: "1", memory: 1Gi}}
  - name: side
    image: side:1
  volumes:
  - name: data
    emptyDir: {}
  - name: conf
    configMap: {name: c}
  tolerations: [{key: k, operator: Exists}]
  nodeSelector: {disk: ssd}
  securityContext: {runAsUser: 1}
"""
_DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: x}
spec:
  replicas: 2
  selector: {matchLabels: {app: x}}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 25%}}
  template:
    metadata: {labels: {app: x}}
    spec: {containers: [{name: c, image: "i:1"}]}
"""
_SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: x}
spec:
  selector: {app: x}
  ports: [{name: a, port: 80, targetPort: http}, {name: b, port: 443, targetPort: 8443}]
"""
_CONFIGMAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: x}
data: {a: one, b: two}
"""
OBJECTS: dict[str, tuple[Kind, str]] = {
    "pod": (POD, _POD), "deployment": (DEPLOYMENT, _DEPLOYMENT), "service": (SERVICE, _SERVICE),
    "configmap": (CONFIGMAP, _CONFIGMAP),
}
# Each: which object, the patch.
CASES: dict[str, tuple[str, str]] = {
    "label set and removed": ("pod", "metadata: {labels: {a: null, c: three}}"),
    "element merged by name": ("pod", "spec: {containers: [{name: web, image: 'web:2'}]}"),
    "element added": ("pod", "spec: {containers: [{name: new, image: 'n:1'}]}"),
    "element deleted": ("pod", "spec: {containers: [{name: side, $patch: delete}]}"),
    "element deleted that is not there": ("pod", "spec: {containers: [{name: none, $patch: delete}]}"),
    "list replaced": ("pod", "spec: {containers: [{$patch: replace}, {name: only, image: o}]}"),
    "atomic list": ("pod", "spec: {containers: [{name: web, command: [other]}]}"),
    "atomic list of maps": ("pod", "spec: {tolerations: [{key: q, operator: Exists}]}"),
    "nested merge keys": ("pod", "spec: {containers: [{name: web, env: [{name: B, value: '3'}, {name: C, value: '4'}]}]}"),
    "nested delete": ("pod", "spec: {containers: [{name: web, env: [{name: A, $patch: delete}]}]}"),
    "ports by containerPort": ("pod", "spec: {containers: [{name: web, ports: [{containerPort: 443, name: tls}]}]}"),
    "map value removed": ("pod", "spec: {containers: [{name: web, resources: {limits: {cpu: null}}}]}"),
    "map deleted": ("pod", "spec: {nodeSelector: null}"),
    "map replaced": ("pod", "metadata: {labels: {$patch: replace, z: last}}"),
    "map emptied": ("pod", "metadata: {labels: {$patch: delete}}"),
    "struct replaced": ("pod", "spec: {securityContext: {$patch: replace, fsGroup: 2}}"),
    "retain keys": ("pod", "spec: {volumes: [{name: data, $retainKeys: [name, hostPath], hostPath: {path: /d}}]}"),
    "retain keys of strategy": ("deployment", "spec: {strategy: {$retainKeys: [type], type: Recreate}}"),
    "order": ("pod", "spec: {$setElementOrder/containers: [{name: side}, {name: web}]}"),
    "order with addition": (
        "pod", "spec: {$setElementOrder/containers: [{name: side}, {name: new}, {name: web}],"
        " containers: [{name: new, image: 'n:1'}]}"
    ),
    "order with server-only": (
        "pod", "spec: {$setElementOrder/containers: [{name: new}, {name: side}], containers: [{name: new, image: 'n:1'}]}"
    ),
    "order with deletion": (
        "pod", "spec: {$setElementOrder/containers: [{name: side}], containers: [{name: web, $patch: delete}]}"
    ),
    "order of a new list": (
        "pod", "spec: {$setElementOrder/initContainers: [{name: i}], initContainers: [{name: i, image: i}]}"
    ),
    "order of nothing": ("pod", "spec: {$setElementOrder/initContainers: [{name: i}]}"),
    "order of env": (
        "pod", "spec: {containers: [{name: web, $setElementOrder/env: [{name: B}, {name: N}, {name: A}],"
        " env: [{name: N, value: n}]}]}"
    ),
    "primitive merged": ("pod", "metadata: {finalizers: [example.org/d, example.org/a]}"),
    "primitive deleted": ("pod", "metadata: {$deleteFromPrimitiveList/finalizers: [example.org/b, example.org/x]}"),
    "primitive ordered": (
        "pod", "metadata: {$setElementOrder/finalizers: [example.org/c, example.org/d, example.org/a],"
        " finalizers: [example.org/d], $deleteFromPrimitiveList/finalizers: [example.org/b]}"
    ),
    "primitive deletion without list": (
        "deployment", "metadata: {$deleteFromPrimitiveList/finalizers: [example.org/b]}"
    ),
    "new map with nulls": ("pod", "spec: {affinity: {nodeAffinity: null, podAffinity: {}}}"),
    "new map with directive": ("deployment", "metadata: {labels: {$patch: replace, a: b}}"),
    "new struct with directive inside": (
        "pod", "spec: {affinity: {podAffinity: {$patch: delete}, nodeAffinity: {}}}"
    ),
    "new element with order": (
        "pod", "spec: {containers: [{name: new, image: 'n:1', $setElementOrder/ports: [{containerPort: 1}],"
        " ports: [{containerPort: 1}]}]}"
    ),
    "new list with deleted element": (
        "pod", "spec: {initContainers: [{name: gone, $patch: delete}, {name: i, image: i}]}"
    ),
    "ports of a service": ("service", "spec: {ports: [{port: 80, targetPort: 81}, {port: 22, name: c}]}"),
    "delete a port": ("service", "spec: {ports: [{port: 80, $patch: delete}]}"),
    "data": ("configmap", "data: {a: null, c: three}"),
    "all of data": ("configmap", "data: null"),
    "scalar": ("deployment", "spec: {replicas: 5, paused: true}"),
    "type changed": ("service", "spec: {selector: null, type: ExternalName, externalName: example.org}"),
    "image of a template": ("deployment", "spec: {template: {spec: {containers: [{name: c, image: 'i:2'}]}}}"),
    "empty patch": ("pod", "{}"),
}
FAULTS: dict[str, tuple[str, str, str]] = {
    "no merge key": ("pod", "spec: {containers: [{image: x}]}", "does not contain declared merge key: name"),
    "unknown directive": ("pod", "metadata: {labels: {$patch: munge}}", "unknown patch type: munge"),
    "list merge": ("pod", "spec: {containers: [{name: web, $patch: merge}]}", "merging lists cannot yet be specified"),
    "retain keys against patch": (
        "deployment", "spec: {strategy: {$retainKeys: [type], rollingUpdate: {maxSurge: 2}}}", "invalid patch format of retainKeys"
    ),
    "order against patch": (
        "pod", "spec: {$setElementOrder/containers: [{name: side}], containers: [{name: web, image: w}]}", "The order in patch list"
    ),
}


@pytest.mark.host
@pytest.mark.parametrize("case", CASES)
def test_strategic_as_kubectl(kubectl: Kubectl, tmp_path: Path, case: str) -> None:
    obj, patch, kind = _case(*CASES[case])
    before = clone(obj), clone(patch)
    ours = strategic_merge(obj, patch, schema.patch_schema(kind))
    assert (obj, patch) == before
    assert normalized(ours) == normalized(by_kubectl(kubectl, tmp_path, obj, patch, "strategic"))





@pytest.mark.parametrize("case", FAULTS)
def test_faults(case: str) -> None:
    name, text, why = FAULTS[case]
    obj, patch, kind = _case(name, text)
    with pytest.raises(ApiError, match=why) as caught:
        strategic_merge(obj, patch, schema.patch_schema(kind))
    assert caught.value.code == 400


@pytest.mark.host
@pytest.mark.parametrize("case", FAULTS)
def test_faults_as_kubectl(kubectl: Kubectl, tmp_path: Path, case: str) -> None:
    obj, patch, _ = _case(*FAULTS[case][:2])
    done = _run(kubectl, tmp_path, obj, patch, "strategic", check=False)
    assert done.returncode != 0
    assert FAULTS[case][2] in done.stderr


MERGE_CASES: dict[str, tuple[str, str]] = {
    "labels": ("pod", "metadata: {labels: {a: null, c: three}}"),
    "list replaced": ("pod", "spec: {containers: [{name: only, image: o}]}"),
    "map over nothing": ("deployment", "metadata: {labels: {x: null, y: z}}"),
    "map over scalar": ("service", "spec: {selector: {app: null, b: c}}"),
    "delete all": ("configmap", "data: null"),
    "empty": ("configmap", "{}"),
    "nulls in a list": ("pod", "spec: {containers: [{name: only, image: o, env: [{name: a, value: null}]}]}"),
}


@pytest.mark.host
@pytest.mark.parametrize("case", MERGE_CASES)
def test_merge_as_kubectl(kubectl: Kubectl, tmp_path: Path, case: str) -> None:
    obj, patch, _ = _case(*MERGE_CASES[case])
    ours = merge_patch(obj, patch)
    assert normalized(ours) == normalized(by_kubectl(kubectl, tmp_path, obj, patch, "merge"))


JSON_CASES: dict[str, tuple[str, list[Object]]] = {
    "add": ("configmap", [{"op": "add", "path": "/data/c", "value": "x"}]),
    "add over": ("configmap", [{"op": "add", "path": "/data/a", "value": "x"}]),
    "remove": ("configmap", [{"op": "remove", "path": "/data/a"}]),
    "replace": ("deployment", [{"op": "replace", "path": "/spec/replicas", "value": 7}]),
    "append": ("pod", [{"op": "add", "path": "/spec/containers/-", "value": {"name": "n", "image": "i"}}]),
    "insert": ("pod", [{"op": "add", "path": "/spec/containers/0", "value": {"name": "n", "image": "i"}}]),
    "move": ("configmap", [{"op": "move", "from": "/data/a", "path": "/data/z"}]),
    "copy": ("configmap", [{"op": "copy", "from": "/data/a", "path": "/data/z"}]),
    "test": ("configmap", [{"op": "test", "path": "/data/a", "value": "one"}, {"op": "remove", "path": "/data/a"}]),
    "replace what is not there": ("configmap", [{"op": "replace", "path": "/data/none", "value": "x"}]),
    "test for null": ("configmap", [{"op": "test", "path": "/data/none", "value": None}]),
    "remove the last": ("pod", [{"op": "remove", "path": "/spec/containers/-1"}]),
    "add as the last": ("pod", [{"op": "add", "path": "/spec/volumes/-1", "value": {"name": "n"}}]),
    "add before the last": ("pod", [{"op": "add", "path": "/spec/volumes/-2", "value": {"name": "n"}}]),
    "below the last": ("pod", [{"op": "replace", "path": "/spec/volumes/-1/name", "value": "n"}]),
    "escapes": ("pod", [{"op": "add", "path": "/metadata/annotations", "value": {}},
                        {"op": "add", "path": "/metadata/annotations/a~1b~0c", "value": "d"}]),
}
JSON_FAULTS: dict[str, list[Object]] = {
    "remove nothing": [{"op": "remove", "path": "/data/none"}],
    "replace below nothing": [{"op": "replace", "path": "/none/x", "value": "x"}],
    "index too low": [{"op": "remove", "path": "/data/-9"}],
    "test fails": [{"op": "test", "path": "/data/a", "value": "other"}],
    "no parent": [{"op": "add", "path": "/none/a", "value": "x"}],
}


@pytest.mark.host
@pytest.mark.parametrize("case", JSON_CASES)
def test_json_as_kubectl(kubectl: Kubectl, tmp_path: Path, case: str) -> None:
    name, ops = JSON_CASES[case]
    obj, _, _ = _case(name, "{}")
    assert normalized(json_patch(obj, ops)) == normalized(by_kubectl(kubectl, tmp_path, obj, ops, "json"))


@pytest.mark.host
@pytest.mark.parametrize("case", JSON_FAULTS)
def test_json_faults_as_kubectl(kubectl: Kubectl, tmp_path: Path, case: str) -> None:
    obj, _, _ = _case("configmap", "{}")
    with pytest.raises(ApiError) as caught:
        json_patch(obj, JSON_FAULTS[case])
    assert caught.value.code == 422
    assert _run(kubectl, tmp_path, obj, JSON_FAULTS[case], "json", check=False).returncode != 0


def _case(name: str, patch: str) -> tuple[Object, Object, Kind]:
    kind, text = OBJECTS[name]
    return yaml.load(text), yaml.load(patch), kind


def by_kubectl(kubectl: Kubectl, folder: Path, obj: Object, patch: Any, type: str) -> Any:
    return json.loads(_run(kubectl, folder, obj, patch, type).stdout)


def _run(kubectl: Kubectl, folder: Path, obj: Object, patch: Any, type: str, *, check: bool = True) -> Any:
    file = folder / "object.json"
    file.write_text(json.dumps(obj))
    arguments = ["patch", "--local", "-f", str(file), f"--type={type}", "-p", json.dumps(patch), "-o", "json"]
    return kubectl.run(*arguments, check=check)


def normalized(value: Any) -> Any:
    """What is no difference: empty fields that Go adds or drops, directives that kubectl leaves in new elements.

    (A server drops the latter when it decodes the object into its type.)
    """
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key != "creationTimestamp" and key[0] != "$"}
        inner = {key: normalized(item) for key, item in kept.items()}
        return {key: item for key, item in inner.items() if item not in ({}, [], None)}
    return [normalized(item) for item in value] if isinstance(value, list) else value
