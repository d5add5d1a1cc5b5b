"""What a kustomization does to all its objects: namespace, names, labels, annotations, replicas, images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from vmpod.base.errors import Problem
from vmpod.intake.kustomize.item import Item
from vmpod.intake.kustomize.places import TEMPLATES, containers, ensure, machine_spec, maps, pod_spec
from vmpod.model.meta import Object, get, name

_KEEP_NAME: Final = ("Namespace", "CustomResourceDefinition", "APIService")
_REPLICATED: Final = ("Deployment", "ReplicaSet", "StatefulSet", "ReplicationController",
                      "VirtualMachineInstanceReplicaSet")  # fmt: skip
_MATCHED: Final = ("Deployment", "ReplicaSet", "DaemonSet", "StatefulSet")
_SELECTED: Final = ("Service", "ReplicationController")


def apply_all(items: list[Item], said: Object, folder: Path) -> None:
    """Every transformation of a kustomization, in kustomize's order. Raises Problem."""
    for item in items:
        _set_namespace(item, said.get("namespace") or "")
        if item.kind not in _KEEP_NAME:
            item.rename(f"{said.get('namePrefix') or ''}{name(item.obj)}{said.get('nameSuffix') or ''}")
        _label(item.obj, said.get("commonLabels") or {}, selectors=True, templates=True)
        for entry in said.get("labels") or ():
            selectors = bool(entry.get("includeSelectors"))
            templates = selectors or bool(entry.get("includeTemplates"))
            _label(item.obj, entry.get("pairs") or {}, selectors=selectors, templates=templates)
        _annotate(item.obj, said.get("commonAnnotations") or {})
    for entry in said.get("replicas") or ():
        _scale(items, entry, folder)
    for entry in said.get("images") or ():
        for item in items:
            _set_images(item.obj, entry)


def _set_namespace(item: Item, space: str) -> None:
    if not space:
        return
    if item.kind == "Namespace":
        item.rename(space)
    elif item.is_namespaced:
        ensure(item.obj, "metadata")["namespace"] = space


def _label(obj: Object, pairs: dict[str, str], *, selectors: bool, templates: bool) -> None:
    if not pairs:
        return
    kind = str(obj.get("kind"))
    ensure(obj, "metadata", "labels").update(pairs)
    if templates and kind in TEMPLATES:
        ensure(obj, *TEMPLATES[kind], "metadata", "labels").update(pairs)
    if templates and kind == "StatefulSet":
        for claim in maps(get(obj, "spec", "volumeClaimTemplates")):
            ensure(claim, "metadata", "labels").update(pairs)
    if selectors:
        _select(obj, kind, pairs)


def _select(obj: Object, kind: str, pairs: dict[str, str]) -> None:
    if kind in _MATCHED:
        ensure(obj, "spec", "selector", "matchLabels").update(pairs)
    elif kind in _SELECTED:
        ensure(obj, "spec", "selector").update(pairs)
    elif kind == "Job" and isinstance(found := get(obj, "spec", "selector", "matchLabels"), dict):
        found.update(pairs)
    if kind in ("Deployment", "StatefulSet"):
        for field in ("affinity", "topologySpreadConstraints"):
            _select_below(pod_spec(obj).get(field), pairs)


def _select_below(value: Any, pairs: dict[str, str]) -> None:
    """Into every labelSelector that has matchLabels already."""
    for one in value if isinstance(value, list) else ():
        _select_below(one, pairs)
    if not isinstance(value, dict):
        return
    if isinstance(found := get(value, "labelSelector", "matchLabels"), dict):
        found.update(pairs)
    for one in value.values():
        _select_below(one, pairs)


def _annotate(obj: Object, pairs: dict[str, str]) -> None:
    if not pairs:
        return
    ensure(obj, "metadata", "annotations").update(pairs)
    if (where := TEMPLATES.get(str(obj.get("kind")))) is not None:
        ensure(obj, *where, "metadata", "annotations").update(pairs)
    if obj.get("kind") == "CronJob":
        ensure(obj, "spec", "jobTemplate", "metadata", "annotations").update(pairs)


def _scale(items: list[Item], entry: Object, folder: Path) -> None:
    wanted = str(entry.get("name") or "")
    found = [one for one in items if one.kind in _REPLICATED and one.is_called(wanted)]
    if not found:
        why = f"replicas: nothing that has replicas is called {wanted!r}"
        raise Problem(f"build {folder}", why, f"look at the kustomization in {folder}", "Missing")
    for item in found:
        ensure(item.obj, "spec")["replicas"] = int(entry.get("count") or 0)


def _set_images(obj: Object, entry: Object) -> None:
    holders = [*containers(pod_spec(obj)), *(disk for volume in maps(machine_spec(obj).get("volumes"))
                                              if isinstance(disk := volume.get("containerDisk"), dict))]  # fmt: skip
    for holder in holders:
        if isinstance(image := holder.get("image"), str):
            holder["image"] = image_of(image, entry)


def image_of(image: str, entry: Object) -> str:
    """The image after one entry of `images`; unchanged when the entry is about another one."""
    found = re.fullmatch(rf"({re.escape(entry.get('name') or '')})(?::([\w.{{}}-]*))?(?:@(sha256:[\w.{{}}-]*))?", image)
    if not entry.get("name") or found is None:
        return image
    base, tag, digest = found[1], found[2] or "", found[3] or ""
    if entry.get("newTag") or entry.get("digest"):
        tag, digest = entry.get("newTag") or "", entry.get("digest") or ""
    if entry.get("tagSuffix"):
        tag, digest = tag + entry["tagSuffix"], ""
    return f"{entry.get('newName') or base}{':' + tag if tag else ''}{'@' + digest if digest else ''}"
