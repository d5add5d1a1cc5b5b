"""The manifests of an export: what to apply elsewhere so that the machine is made there out of its disks."""

from __future__ import annotations

from copy import deepcopy
from typing import Final

import orjson
import yaml

from vmpod.api import instancetypes
from vmpod.api.call import Backend, Call
from vmpod.client.inprocess import ANONYMOUS, Request, Response
from vmpod.kinds import PERSISTENTVOLUMECLAIM, VIRTUALMACHINE, VIRTUALMACHINESNAPSHOT, VIRTUALMACHINESNAPSHOTCONTENT
from vmpod.kinds.kind import Kind
from vmpod.model import meta, status
from vmpod.model.meta import Object

_YAML, _JSON = "application/yaml", "application/json"
_NOT_KEPT: Final = ("kubevirt.io/latest-observed-api-version", "kubevirt.io/storage-observed-api-version",
                    "kubectl.kubernetes.io/last-applied-configuration", "restore.kubevirt.io/", "vmpod.io/")


def answer(backend: Backend, export: Object, door: str, type: str, token: bytes, accept: str) -> Response:
    """`type` is all or secret, `door` which of the links the manifests lead to. Raises ApiError."""
    objects = [_header_secret(export, token)] if type == "secret" else _all(backend, export, door)
    if accept == _YAML:
        written = "".join(f"{yaml.safe_dump(one)}---\n" for one in objects)
        return Response(200, {"content-type": _YAML}, written.encode())
    listed = {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": objects}
    return Response(200, {"content-type": _JSON}, orjson.dumps(listed, option=orjson.OPT_INDENT_2))


def _header_secret(export: Object, token: bytes) -> Object:
    said = f"x-kubevirt-export-token:{token.decode(errors='replace')}"
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"header-secret-{meta.name(export)}"},
            "stringData": {"token": said}}  # fmt: skip


def _all(backend: Backend, export: Object, door: str) -> list[Object]:
    links = meta.get(export, "status", "links", door, default={})
    authorities = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"export-ca-cm-{meta.name(export)}"},
                   "data": {"ca.pem": links.get("cert", "")}}  # fmt: skip
    vm = _machine(backend, export)
    sources = {one["name"]: _source(export, one) for one in links.get("volumes") or ()}
    templates = meta.get(vm, "spec", "dataVolumeTemplates", default=[])
    for template in templates:
        if source := sources.get(meta.name(template)):
            _refill(backend, export, template, source)
    made = {meta.name(one) for one in templates}
    volumes = [_volume(backend, export, one, source) for one, source in sources.items() if one not in made]
    return [authorities, vm, *volumes]


def _source(export: Object, volume: Object) -> Object:
    url = next((one["url"] for one in volume["formats"] if one["format"] == "gzip"), volume["formats"][0]["url"])
    return {"http": {"url": url, "certConfigMap": f"export-ca-cm-{meta.name(export)}",
                     "secretExtraHeaders": [f"header-secret-{meta.name(export)}"]}}  # fmt: skip


def _refill(backend: Backend, export: Object, template: Object, source: Object) -> None:
    spec = template["spec"]
    spec.pop("sourceRef", None)
    spec["source"] = source
    storage = spec["storage"] if spec.get("storage") is not None else spec.setdefault("pvc", {})
    if not meta.get(storage, "resources", "requests", "storage"):
        storage["resources"] = deepcopy(_claim(backend, export, meta.name(template))["spec"]["resources"])


def _volume(backend: Backend, export: Object, name: str, source: Object) -> Object:
    claim = _claim(backend, export, name)
    kept = {key: claim["spec"][key] for key in ("accessModes", "resources", "volumeMode") if key in claim["spec"]}
    return {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "metadata": {"name": name},
            "spec": {"source": source, "pvc": deepcopy(kept)}}  # fmt: skip


def _claim(backend: Backend, export: Object, name: str) -> Object:
    """The claim behind a volume that is shown: that of a snapshot's volume bears the export's name before its own."""
    held = f"{meta.name(export)}-{name}" if _is_of_snapshot(export) else name
    return _read(backend, PERSISTENTVOLUMECLAIM, meta.namespace(export), held)


def _is_of_snapshot(export: Object) -> bool:
    return bool(meta.get(export, "spec", "source", "kind") == VIRTUALMACHINESNAPSHOT.kind)


def _machine(backend: Backend, export: Object) -> Object:
    """The machine without what is of this place, its instance type written into it."""
    where, wanted = meta.namespace(export), str(meta.get(export, "spec", "source", "name"))
    if _is_of_snapshot(export):
        snapshot = _read(backend, VIRTUALMACHINESNAPSHOT, where, wanted)
        held = str(meta.get(snapshot, "status", "virtualMachineSnapshotContentName"))
        content = _read(backend, VIRTUALMACHINESNAPSHOTCONTENT, where, held)
        found: Object = content["spec"]["source"]["virtualMachine"]
    else:
        found = _read(backend, VIRTUALMACHINE, where, wanted)
    bare = {"apiVersion": VIRTUALMACHINE.api_version, "kind": VIRTUALMACHINE.kind, "metadata": found["metadata"],
            "spec": found["spec"]}  # fmt: skip
    call = Call(Request("GET", "", {}, {}, b"", ANONYMOUS), backend)
    call = call.about(VIRTUALMACHINE, where, meta.name(found))
    whole = instancetypes.expand(call, bare)
    kept = {key: text for key, text in meta.annotations(found).items() if not key.startswith(_NOT_KEPT)}
    about = {"name": meta.name(found), "labels": meta.labels(found), "annotations": kept}
    return {**bare, "spec": whole["spec"], "metadata": {key: value for key, value in about.items() if value}}


def _read(backend: Backend, kind: Kind, namespace: str, name: str) -> Object:
    record = backend.store.get(kind.resource, namespace, name)
    if record is None:
        raise status.not_found(kind.resource, name)
    found: Object = orjson.loads(record.value)
    return found
