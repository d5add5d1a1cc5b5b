"""The schemas of the kinds: unknown fields, types, patch rules, OpenAPI documents.

The data is made by scripts/schemas. It is held as JSON text, one text a definition, and a definition is decoded
when it is first needed, without its descriptions: all of them as Python objects would take over 20 MB.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final

import orjson

from vmpod.base.errors import Problem
from vmpod.kinds.kind import Kind
from vmpod.model import shape
from vmpod.model.meta import Object, clone
from vmpod.model.shape import REF, Schema, Shape
from vmpod.model.status import FieldError

_FILES: Final = ("core.json.gz", "kubevirt.json.gz")
_REFERENCE: Final = re.compile(rb'"#/components/schemas/([^"]+)"')
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_DECODED: Final = 512  # definitions kept decoded; a Pod needs about 200
_CNI: Final = "k8s.cni.cncf.io"
_SNAPSHOT: Final = "snapshot.storage.k8s.io"
_OWN: Final = {  # of kinds whose schema no package carries
    "io.cncf.cni.k8s.v1.NetworkAttachmentDefinition": orjson.dumps({
        "description": "A further network for pods, in the form of the Network Plumbing Working Group.",
        "type": "object", "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"},
            "metadata": {"$ref": f"{REF}{_META}ObjectMeta"},
            "spec": {"type": "object", "properties": {
                "config": {"type": "string", "description": "A CNI configuration or list of them, as JSON."},
            }},
        },
    }),
}  # fmt: skip
VERSION: Final = "v1.35.0"  # of Kubernetes, whose kinds these are


@cache
def _texts(file: str) -> dict[str, bytes]:
    """The JSON text of each definition of a file. Raises Problem when the file was not made."""
    try:
        packed = resources.files(__package__).joinpath("schemas", file).open("rb")
    except FileNotFoundError:
        raise Problem("load the schemas of the kinds", f"{file} is missing", "scripts/schemas") from None
    found = {}
    with packed, gzip.open(packed) as lines:  # line by line: all at once would leave 3 MB of holes in the heap
        for line in lines:
            if line.startswith(b'"'):
                name, _, text = line[1:].rstrip().partition(b'":')
                found[name.decode()] = text.removesuffix(b",")
    return found


def _text(name: str) -> bytes:
    core = _texts(_FILES[0])
    if name in _OWN:
        return _OWN[name]
    return core[name] if name in core else _texts(_FILES[1])[name]


@lru_cache(maxsize=_DECODED)
def _definition(name: str) -> Schema:
    bare: Schema = _bare(orjson.loads(_text(name)))
    return bare


_KEPT: Final = frozenset({
    "$ref", "additionalProperties", "allOf", "anyOf", "enum", "items", "oneOf", "properties", "required", "type",
    "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string", "x-kubernetes-patch-merge-key",
    "x-kubernetes-patch-strategy", "x-kubernetes-preserve-unknown-fields",
})  # what `shape` looks at


def _bare(schema: Any) -> Any:
    """A schema without the words that only people read."""
    if not isinstance(schema, dict):
        return [_bare(one) for one in schema] if isinstance(schema, list) else schema
    bare = {key: _bare(value) for key, value in schema.items() if key in _KEPT and key != "properties"}
    if "properties" in schema:
        bare["properties"] = {name: _bare(field) for name, field in schema["properties"].items()}
    return bare


def is_custom(kind: Kind) -> bool:
    """Whether a real cluster serves the kind from a CustomResourceDefinition."""
    return kind.group in ("kubevirt.io", _CNI, _SNAPSHOT) or kind.group.endswith(".kubevirt.io")


@cache
def _name(group: str, version: str, kind: str) -> str | None:
    """The definition of a type; of another version of it when this one has none (v1alpha3 of kubevirt.io)."""
    if group.endswith("kubevirt.io"):
        prefix = ".".join(reversed(group.split(".")))
        names: Iterable[str] = _texts(_FILES[1])
        same = [name for name in names if re.fullmatch(rf"{re.escape(prefix)}\.v\d\w*\.{kind}", name)]
        return next((name for name in same if f".{version}." in name), next(iter(same), None))
    return next((name for name in _builtin_names(kind, version) if _is_of_group(name, group)), None)


def _builtin_names(kind: str, version: str) -> Iterator[str]:
    return (name for name in _texts(_FILES[0]) if name.endswith(f".{version}.{kind}"))


def _is_of_group(name: str, group: str) -> bool:
    marks = orjson.loads(_text(name)).get("x-kubernetes-group-version-kind") or []
    return any(mark["group"] == group for mark in marks)


def definition_name(kind: Kind, version: str = "") -> str | None:
    """The name of a kind's definition among the schemas, None when there is none."""
    return kind.schema or _name(kind.group, version or kind.version, kind.kind)


def _shape(kind: Kind) -> Shape | None:
    name = definition_name(kind)
    return Shape(_definition(name), _definition, is_structural=is_custom(kind)) if name else None


def load() -> None:
    """Read the schemas now instead of when they are first needed. Raises Problem when they were not made."""
    for file in _FILES:
        _texts(file)


def patch_schema(kind: Kind) -> Shape | None:
    """What a strategic merge patch of a kind follows; None for kinds whose server takes no such patch (415)."""
    return None if is_custom(kind) else _shape(kind)


def unknown_fields(kind: Kind, obj: Object) -> list[str]:
    """The paths of fields that the kind does not have, as strict decoding errors name them."""
    return [path for _, _, path in shape.strangers(obj, _shape(kind))]


def prune(kind: Kind, obj: Object) -> Object:
    """A copy of the object without fields that the kind does not have."""
    known = _shape(kind)
    return shape.pruned(obj, known) if known else clone(obj)


def type_errors(kind: Kind, obj: Object) -> list[FieldError]:
    """Values of a wrong JSON type or outside an enum, and required fields that are missing.

    An object without such errors may be read by a kind's `default` and `validate` without further care.
    """
    return list(shape.faults(obj, _shape(kind)))


# --- OpenAPI v3 ---

_BODIES: Final = ("application/json", "application/yaml")
_PATCHES: Final = ("application/json-patch+json", "application/merge-patch+json")
_STRATEGIC: Final = "application/strategic-merge-patch+json"


def openapi_groups() -> dict[str, tuple[Kind, ...]]:
    """The kinds of each document, by its path below /openapi/v3: `api/v1`, `apis/apps/v1`."""
    from vmpod.kinds import KINDS

    groups: dict[str, list[Kind]] = {}
    for kind in KINDS:
        for version in kind.versions:
            root = f"apis/{kind.group}" if kind.group else "api"
            groups.setdefault(f"{root}/{version}", []).append(kind)
    return {path: tuple(kinds) for path, kinds in groups.items()}


def openapi_document(path: str, kinds: Sequence[Kind] | None = None) -> Object:
    """The OpenAPI v3 document of a group version as an object; see `openapi_text`."""
    document: Object = orjson.loads(openapi_text(path, kinds))
    return document


def openapi_text(path: str, kinds: Sequence[Kind] | None = None) -> bytes:
    """The OpenAPI v3 document of a group version as JSON: schemas with descriptions, and paths per verb.

    `path` is `api/v1` or `apis/GROUP/VERSION`; `kinds` are all that are served there. The texts of the
    definitions are joined as they are, so that nothing large is decoded.
    """
    version = path.rpartition("/")[2]
    served = openapi_groups()[path] if kinds is None else kinds
    roots = _roots(served, version)
    schemas = ",".join(f'"{name}":{text}' for name, text in sorted(_with_references(roots).items()))
    paths = {where: item for kind in served for where, item in _paths(kind, version).items()}
    head = {"title": "Kubernetes", "version": VERSION}
    return b'{"openapi":"3.0.0","info":%b,"paths":%b,"components":{"schemas":{%b}}}' % (
        orjson.dumps(head), orjson.dumps(paths), schemas.encode(),
    )


def _roots(kinds: Sequence[Kind], version: str) -> dict[str, str]:
    """The texts of the kinds, of their lists and of what every API answers with."""
    texts = {name: _text(name).decode() for name in (_META + "Status", _META + "DeleteOptions", _META + "Patch")}
    for kind in kinds:
        name = definition_name(kind, version)
        if name is None:
            continue
        mark = {"group": kind.group, "version": version, "kind": kind.kind}
        if is_custom(kind):
            texts[name] = _marked(name, mark)
        else:
            texts[name] = _text(name).decode()
        texts[f"{name}List"] = _list_text(kind, name, version)
    return texts


def _marked(name: str, mark: Object) -> str:
    return orjson.dumps(orjson.loads(_text(name)) | {"x-kubernetes-group-version-kind": [mark]}).decode()


def _list_text(kind: Kind, name: str, version: str) -> str:
    if f"{name}List" in _texts(_FILES[0]):
        return _text(f"{name}List").decode()
    text = {"type": "string"}
    return orjson.dumps({
        "description": f"{kind.kind}List is a list of {kind.kind}", "type": "object", "required": ["items"],
        "properties": {
            "apiVersion": text, "kind": text, "items": {"type": "array", "items": {"$ref": REF + name}},
            "metadata": {"$ref": f"{REF}{_META}ListMeta"},
        },
        "x-kubernetes-group-version-kind": [
            {"group": kind.group, "version": version, "kind": f"{kind.kind}List"},
        ],
    }).decode()


def _with_references(texts: dict[str, str]) -> dict[str, str]:
    """The texts and those of all definitions that they refer to."""
    waiting = [text.encode() for text in texts.values()]
    result = dict(texts)
    while waiting:
        for found in set(_REFERENCE.findall(waiting.pop())):
            name = found.decode()
            if name not in result:
                waiting.append(_text(name))
                result[name] = waiting[-1].decode()
    return result


def _paths(kind: Kind, version: str) -> dict[str, Object]:
    """The paths of one kind, each verb marked with the type and action that clients look for."""
    namespace = "{namespace}" if kind.namespaced else ""
    collection = kind.path(namespace, version=version)
    operate = _Operations(kind, version)
    items = {
        collection: operate.item({"get": "list", "post": "create", "delete": "deletecollection"}, namespace),
        f"{collection}/{{name}}": operate.item(
            {"get": "get", "put": "update", "patch": "patch", "delete": "delete"}, namespace, named=True
        ),
    }
    if kind.namespaced:
        items[kind.path(version=version)] = operate.item({"get": "list"}, "")
    if kind.has_status:
        items[f"{collection}/{{name}}/status"] = operate.item(
            {"get": "get", "put": "update", "patch": "patch"}, namespace, named=True
        )
    return items


def _parameter(name: str, where: str, kind: str, text: str) -> Object:
    return {
        "name": name, "in": where, "required": where == "path", "description": text,
        "schema": {"type": kind, "uniqueItems": True},
    }


_ACTIONS: Final = {
    "list": "list", "get": "get", "create": "post", "update": "put", "patch": "patch", "delete": "delete",
    "deletecollection": "deletecollection",
}
_WRITE_PARAMETERS: Final = [
    _parameter("dryRun", "query", "string", "When present, indicates that modifications should not be persisted."),
    _parameter("fieldManager", "query", "string", "A name of the actor that is making these changes."),
    _parameter("fieldValidation", "query", "string", "What to do with unknown fields: Ignore, Warn or Strict."),
]
_LIST_PARAMETERS: Final = [
    _parameter("continue", "query", "string", "Where the last page ended."),
    _parameter("fieldSelector", "query", "string", "Restrict the list to objects with these values of fields."),
    _parameter("labelSelector", "query", "string", "Restrict the list to objects with these labels."),
    _parameter("limit", "query", "integer", "The largest number of objects of a page."),
    _parameter("resourceVersion", "query", "string", "The revision that the answer must reach."),
    _parameter("timeoutSeconds", "query", "integer", "How long a watch lasts."),
    _parameter("watch", "query", "boolean", "Send changes instead of a list."),
]
_DELETE_PARAMETERS: Final = [
    _WRITE_PARAMETERS[0],
    _parameter("gracePeriodSeconds", "query", "integer", "The time that the object has to end by itself."),
    _parameter("propagationPolicy", "query", "string", "What happens to dependents."),
]
_PARAMETERS: Final = {
    "list": _LIST_PARAMETERS, "create": _WRITE_PARAMETERS, "update": _WRITE_PARAMETERS,
    "patch": [*_WRITE_PARAMETERS, _parameter("force", "query", "boolean", "Take over fields of other managers.")],
    "delete": _DELETE_PARAMETERS, "deletecollection": [*_LIST_PARAMETERS, *_DELETE_PARAMETERS],
}


class _Operations:
    """Spells the operations of one kind in one version."""

    def __init__(self, kind: Kind, version: str) -> None:
        self._kind = kind
        self._version = version
        self._schema = {"$ref": REF + (definition_name(kind, version) or f"{_META}Status")}

    def item(self, verbs: dict[str, str], namespace: str, *, named: bool = False) -> Object:
        """The operations of one path; `verbs` maps HTTP methods to Kubernetes verbs."""
        served = {method: self._one(verb) for method, verb in verbs.items() if verb in self._kind.verbs}
        parameters = [_parameter("name", "path", "string", f"name of the {self._kind.kind}")] if named else []
        if namespace:
            parameters.append(_parameter("namespace", "path", "string", "object name and auth scope"))
        return served | {"parameters": parameters}

    def _one(self, verb: str) -> Object:
        operation: Object = {
            "tags": [f"{self._kind.group.partition('.')[0] or 'core'}_{self._version}"],
            "description": f"{verb} {self._kind.kind}",
            "parameters": _PARAMETERS.get(verb, []),
            "responses": {"200": {"description": "OK", "content": _content(self._answer(verb), _BODIES)}},
            "x-kubernetes-action": _ACTIONS[verb],
            "x-kubernetes-group-version-kind": {
                "group": self._kind.group, "version": self._version, "kind": self._kind.kind,
            },
        }
        if body := self._body(verb):
            operation["requestBody"] = {"content": body}
        return operation

    def _answer(self, verb: str) -> Object:
        if verb == "list" and "$ref" in self._schema:
            return {"$ref": self._schema["$ref"] + "List"}
        return {"$ref": f"{REF}{_META}Status"} if verb.startswith("delete") else self._schema

    def _body(self, verb: str) -> Object:
        if verb in ("create", "update"):
            return _content(self._schema, _BODIES)
        if verb == "patch":
            media = _PATCHES if is_custom(self._kind) else (*_PATCHES, _STRATEGIC)
            return _content({"$ref": f"{REF}{_META}Patch"}, media)
        return _content({"$ref": f"{REF}{_META}DeleteOptions"}, _BODIES) if verb.startswith("delete") else {}


def _content(schema: Object, media: Sequence[str]) -> Object:
    return {name: {"schema": schema} for name in media}
