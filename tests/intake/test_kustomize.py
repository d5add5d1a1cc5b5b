"""Kustomizations, built as the real `kubectl kustomize` builds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vmpod.base.errors import Problem
from vmpod.intake import kustomize
from vmpod.intake.kustomize.generators import tidied
from vmpod.intake.kustomize.transforms import image_of
from vmpod.model.yaml import load_all

from ..conftest import Kubectl

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {tier: front}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: robot
      initContainers: [{name: first, image: "registry.local:5000/a:1"}]
      containers:
      - name: a
        image: a:1.0
        env: [{name: A, value: "1"}, {name: B, value: "2"}]
        envFrom: [{configMapRef: {name: cfg}}, {secretRef: {name: sec}}]
      - {name: b, image: "b@sha256:abc"}
      volumes:
      - {name: v, secret: {secretName: sec}}
      - {name: w, projected: {sources: [{configMap: {name: cfg}}]}}
      - {name: x, persistentVolumeClaim: {claimName: data}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
GENERATED = """
configMapGenerator:
- name: cfg
  literals: [plain=1, 'quoted="a<b>&c"']
  files: [notes.txt, other=notes.txt]
secretGenerator:
- name: sec
  literals: [password=secret]
  envs: [values.env]
"""
BASE = {
    "base/web.yaml": DEPLOYMENT,
    "base/notes.txt": "several\nlines of ünïcode\n",
    "base/values.env": "# comment\nKEY=value=with=signs\n\n  LONG=" + "x" * 100 + "\n",
    "base/kustomization.yaml": "resources: [web.yaml]\n" + GENERATED,
}
OVER = "resources: [base]\n"
SIDECAR = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      containers:
      - {name: side, image: s}
      - name: a
        env: [{name: Z, value: z}, {name: B, value: "9"}, {name: A, $patch: delete}]
"""
MACHINE = """
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: vm}
spec:
  template:
    spec:
      domain: {devices: {disks: [{name: d, disk: {bus: virtio}}]}}
      volumes: [{name: d, emptyDisk: {capacity: 1Gi}}]
"""
COMPONENT = """
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
patches:
- target: {kind: Deployment}
  patch: |
    - op: add
      path: /metadata/annotations
      value: {component: "yes"}
"""

# What is built: the kustomization above the base, and further files.
CASES: dict[str, tuple[str, dict[str, str]]] = {
    "plain": (OVER, {}),
    "names and namespace": (OVER + "namePrefix: p-\nnameSuffix: -s\nnamespace: shop\n", {}),
    "prefixes on prefixes": (
        "resources: [middle]\nnamePrefix: o-\n", {"middle/kustomization.yaml": "resources: [../base]\nnamePrefix: m-\n"}),
    "common labels": (OVER + "commonLabels: {team: x}\ncommonAnnotations: {note: 'y'}\n", {}),
    "labels": (
        OVER + "labels:\n- pairs: {a: b}\n- pairs: {c: d}\n  includeTemplates: true\n"
        "- pairs: {e: f}\n  includeSelectors: true\n", {}),
    "images": (
        OVER + "images:\n- {name: a, newTag: '2'}\n- {name: b, newName: c}\n"
        "- {name: registry.local:5000/a, digest: 'sha256:def'}\n", {}),
    "replicas": (OVER + "replicas: [{name: web, count: 3}]\n", {}),
    "strategic patch": (OVER + "patches: [{path: side.yaml}]\n", {"side.yaml": SIDECAR}),
    "strategic patch, the old way": (OVER + "patchesStrategicMerge: [side.yaml]\n", {"side.yaml": SIDECAR}),
    "patch after a prefix, by the old name": (
        "resources: [middle]\npatches: [{path: side.yaml}]\n",
        {"side.yaml": SIDECAR, "middle/kustomization.yaml": "resources: [../base]\nnamePrefix: m-\n"}),
    "json patch": (
        OVER + "patches:\n- target: {kind: Deployment, name: w.*}\n  patch: |-\n"
        "    - {op: replace, path: /spec/template/spec/containers/0/image, value: new}\n"
        "    - {op: add, path: /spec/replicas, value: 4}\n", {}),
    "json patch, the old way": (
        OVER + "patchesJson6902:\n- target: {group: apps, version: v1, kind: Deployment, name: web}\n  path: p.json\n",
        {"p.json": '[{"op": "remove", "path": "/metadata/labels/tier"}]'}),
    "patch by labels": (
        OVER + "patches:\n- target: {labelSelector: tier=front}\n  patch: |-\n"
        "    - {op: add, path: /metadata/annotations, value: {a: b}}\n", {}),
    "patch that deletes": (
        OVER + "patches:\n- patch: |\n    $patch: delete\n    apiVersion: v1\n    kind: Service\n"
        "    metadata: {name: web}\n", {}),
    "a machine": (
        "resources: [vm.yaml]\nnamePrefix: x-\npatches:\n- patch: |\n    apiVersion: kubevirt.io/v1\n"
        "    kind: VirtualMachine\n    metadata: {name: vm}\n    spec: {runStrategy: Always, template: {spec: {volumes: []}}}\n",
        {"vm.yaml": MACHINE}),
    "component": (OVER + "components: [part]\n", {"part/kustomization.yaml": COMPONENT}),
    "generators that merge and replace": (
        OVER + "configMapGenerator:\n- {name: cfg, behavior: merge, literals: [plain=2, more=3]}\n"
        "secretGenerator:\n- {name: sec, behavior: replace, literals: [only=this], type: my/type}\n", {}),
    "generators whose hash is switched": (
        OVER + "configMapGenerator:\n- {name: cfg, behavior: merge, literals: [more=3], options: {disableNameSuffixHash: true}}\n"
        "secretGenerator:\n- {name: sec, behavior: merge, literals: [password=other]}\n", {}),
    "generator options": (
        OVER + "generatorOptions: {disableNameSuffixHash: true, labels: {g: h}, annotations: {i: j}}\n"
        "configMapGenerator:\n- {name: fresh, literals: [a=b], options: {immutable: true, labels: {k: l}}}\n", {}),
    "namespace objects": (
        "resources: [ns.yaml]\nnamespace: other\nnamePrefix: p-\n",
        {"ns.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: mine}\n"}),
}  # fmt: skip


def write(folder: Path, root: str, files: dict[str, str]) -> Path:
    for path, text in {**BASE, "kustomization.yaml": root, **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def keyed(objects: list[dict[str, Any]]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in objects}


@pytest.mark.host
@pytest.mark.parametrize("case", CASES)
def test_as_kubectl_builds_it(tmp_path: Path, kubectl: Kubectl, case: str) -> None:
    folder = write(tmp_path, *CASES[case])
    real = [tidied(document.obj) for document in load_all(kubectl.run("kustomize", str(folder)).stdout)]
    assert keyed(kustomize.build(folder)) == keyed(real)


def test_names_in_machines_follow_as_names_in_pods_do(tmp_path: Path) -> None:
    machine = """
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: vm}
spec:
  template:
    spec:
      volumes:
      - {name: a, dataVolume: {name: disk}}
      - {name: b, cloudInitNoCloud: {secretRef: {name: seed}}}
      - {name: c, containerDisk: {image: "old:1"}}
---
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: disk}
spec: {source: {http: {url: "http://x/", secretRef: seed}}}
"""
    root = "resources: [vm.yaml]\nnamePrefix: x-\nimages: [{name: old, newTag: '2'}]\n" \
           "secretGenerator: [{name: seed, literals: [userdata=x]}]\n"  # fmt: skip
    built = {one["kind"]: one for one in kustomize.build(write(tmp_path, root, {"vm.yaml": machine}))}
    volumes = built["VirtualMachine"]["spec"]["template"]["spec"]["volumes"]
    seed = built["Secret"]["metadata"]["name"]
    assert seed.startswith("x-seed-")
    assert volumes[0]["dataVolume"]["name"] == "x-disk"
    assert volumes[1]["cloudInitNoCloud"]["secretRef"]["name"] == seed
    assert volumes[2]["containerDisk"]["image"] == "old:2"
    assert built["DataVolume"]["spec"]["source"]["http"]["secretRef"] == seed


@pytest.mark.parametrize(
    ("root", "says"),
    [
        ("replacements: []\n", "replacements: vmpod does not build this field"),
        ("images: [{name: a, newTagg: b}]\n", r"images\[0\].newTagg: vmpod does not build this field"),
        ("namespace: [x]\n", "namespace: a string is expected"),
        ("images: [{name: a, newTag: 2}]\n", r"images\[0\].newTag: a string is expected"),
        ("replicas: [{name: web, count: yes}]\nresources: [base]\n", r"replicas\[0\].count: a number is expected"),
        ("commonAnnotations: {note: y}\n", "commonAnnotations.note: a string is expected"),
        ("resources: {a: b}\n", "resources: a list is expected"),
        ("resources: [https://example.org/base]\n", "nothing is fetched"),
        ("resources: ['github.com/x/y?ref=v1']\n", "nothing is fetched"),
        ("resources: [missing.yaml]\n", "No such file"),
        ("resources: [..]\n", "has no kustomization.yaml|cannot build"),
        ("resources: [.]\n", "it is a part of itself"),
        ("resources: [base, base/web.yaml]\n", "is there twice"),
        ("resources: [/etc/hostname]\n", "not in this folder"),
        ("components: [base]\n", "it is a Kustomization, where a Component is expected"),
        ("configMapGenerator: [{name: x, literals: [oops]}]\n", "'oops' is not KEY=VALUE"),
        ("configMapGenerator: [{name: x, literals: [a=1, a=2]}]\n", "the key 'a' is given twice"),
        ("configMapGenerator: [{name: x, files: [../secret]}]\n", "not in this folder"),
        ("configMapGenerator: [{name: x, behavior: merge}]\n", "ConfigMap/x, which is to merge one that exists"),
        ("resources: [base]\nreplicas: [{name: nothing, count: 1}]\n", "nothing that has replicas is called 'nothing'"),
        ("patches: [{patch: 'a: b', path: c}]\n", r"patches\[0\] has both path and patch"),
        ("patches: [{target: {kind: x}}]\n", r"patches\[0\] has neither of path and patch"),
        ("patches: [{patch: '- {op: add}'}]\n", "a JSON patch needs a target"),
        ("patches: [{patch: '{kind: Pod, metadata: {name: x}}'}]\n", "Pod/x is not there"),
        ("resources: [base]\npatches: [{target: {kind: Service}, patch: '- {op: remove, path: /nope}'}]\n", "Service/web"),
        ("a: [\n", "kustomization.yaml, line"),
    ],
)
def test_what_is_refused(tmp_path: Path, root: str, says: str) -> None:
    with pytest.raises(Problem, match=says):
        kustomize.build(write(tmp_path / "work", root, {}))


@pytest.mark.parametrize(
    ("image", "entry", "result"),
    [
        ("a", {"name": "a", "newTag": "1"}, "a:1"),
        ("a:0@sha256:abc", {"name": "a", "newTag": "1"}, "a:1"),
        ("a:0", {"name": "a", "digest": "sha256:abc"}, "a@sha256:abc"),
        ("a:0", {"name": "a", "newName": "r/b"}, "r/b:0"),
        ("r:5000/a:0", {"name": "a", "newTag": "1"}, "r:5000/a:0"),
        ("ab:0", {"name": "a", "newTag": "1"}, "ab:0"),
        ("a:0", {"name": "a", "tagSuffix": "-x"}, "a:0-x"),
        ("a:0", {"newTag": "1"}, "a:0"),
    ],
)
def test_images(image: str, entry: dict[str, str], result: str) -> None:
    assert image_of(image, entry) == result


def test_the_same_input_twice_gives_the_same(tmp_path: Path) -> None:
    folder = write(tmp_path, *CASES["names and namespace"])
    assert kustomize.build(folder) == kustomize.build(folder)
