"""What a schema says about an object: which fields it knows, their types, how lists are merged.

Schemas are those of OpenAPI v3 as kube-apiserver publishes them, with the `x-kubernetes-*` words. Two readings
differ: a *structural* schema (of a CustomResourceDefinition) knows no field that it does not name, while among the
built-in kinds an object without named fields may hold anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from vmpod.model import status
from vmpod.model.meta import Object, clone
from vmpod.model.status import FieldError

Schema = Mapping[str, Any]
Definition = Callable[[str], Schema]

REF: Final = "#/components/schemas/"
_INT_OR_STRING: Final = ("integer", "string")
_OBJECT_META: Final = {"$ref": REF + "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
_EMBEDDED: Final[Schema] = {
    "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _OBJECT_META,
}


class Shape:
    """One node of a schema, with its reference followed; also the PatchSchema of that node."""

    __slots__ = ("_definition", "_inner", "_outer", "is_structural")

    def __init__(self, schema: Schema, definition: Definition, *, is_structural: bool) -> None:
        self._outer = schema
        self._definition = definition
        self._inner, self.is_structural = schema, is_structural
        while (name := _reference(self._inner)) is not None:
            self._inner, self.is_structural = definition(name), False

    def _at(self, schema: Schema) -> Shape:
        return Shape(schema, self._definition, is_structural=self.is_structural)

    @property
    def strategy(self) -> frozenset[str]:
        """x-kubernetes-patch-strategy."""
        return frozenset(filter(None, self._outer.get("x-kubernetes-patch-strategy", "").split(",")))

    @property
    def merge_key(self) -> str:
        """x-kubernetes-patch-merge-key."""
        return str(self._outer.get("x-kubernetes-patch-merge-key", ""))

    def field(self, name: str) -> Shape | None:
        """The shape of a field, of a map's values too; None when it is unknown or may be anything."""
        fields = self._inner.get("properties")
        if fields is not None and name in fields:
            return self._at(fields[name])
        if self._inner.get("x-kubernetes-embedded-resource") and name in _EMBEDDED:
            return self._at(_EMBEDDED[name])
        extra = self._inner.get("additionalProperties")
        return self._at(extra) if isinstance(extra, dict) else None

    def items(self) -> Shape | None:
        """The shape of a list's elements; None when they may be anything."""
        inner = self._inner.get("items")
        return self._at(inner) if isinstance(inner, dict) else None

    @property
    def is_open(self) -> bool:
        """Whether fields that the schema does not name are welcome."""
        inner = self._inner
        if inner.get("x-kubernetes-preserve-unknown-fields") or inner.get("additionalProperties") is True:
            return True
        return not self.is_structural and "properties" not in inner and "additionalProperties" not in inner

    @property
    def types(self) -> tuple[str, ...]:
        """The JSON types that a value may have; empty for any."""
        if self._inner.get("x-kubernetes-int-or-string"):
            return _INT_OR_STRING
        for word in ("oneOf", "anyOf"):
            types = tuple(one["type"] for one in self._inner.get(word) or () if "type" in one)
            if types:
                return types
        return (self._inner["type"],) if "type" in self._inner else ()

    @property
    def enum(self) -> tuple[Any, ...]:
        """The values that are allowed; empty when the schema names none."""
        return tuple(self._inner.get("enum") or ())

    @property
    def required(self) -> tuple[str, ...]:
        """The fields that must be there.

        Go cannot tell a list that is absent from an empty one, so lists of built-in kinds do not count.
        """
        names = self._inner.get("required") or ()
        if self.is_structural:
            return tuple(names)
        return tuple(name for name in names if (field := self.field(name)) and field.types != ("array",))


def _reference(schema: Schema) -> str | None:
    """The name of the definition that a node stands for: `$ref`, alone or wrapped in `allOf`."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(REF)
    wrapped = schema.get("allOf")
    if wrapped and len(wrapped) == 1 and "$ref" in wrapped[0]:
        return str(wrapped[0]["$ref"]).removeprefix(REF)
    return None


def strangers(value: Any, shape: Shape | None, path: str = "") -> Iterator[tuple[Object, str, str]]:
    """Each field that the schema does not know: the map that holds it, its key, its path.

    Paths are spelled as in kube-apiserver's strict decoding errors: `spec.containers[0].foo`.
    """
    if shape is None:
        return
    if isinstance(value, dict):
        is_open = shape.is_open
        for key, item in value.items():
            below = f"{path}.{key}" if path else key
            field = shape.field(key)
            if field is not None:
                yield from strangers(item, field, below)
            elif not is_open:
                yield value, key, below
    elif isinstance(value, list):
        element = shape.items()
        for index, item in enumerate(value):
            yield from strangers(item, element, f"{path}[{index}]")


def pruned(obj: Object, shape: Shape) -> Object:
    """A copy without the fields that the schema does not know."""
    result: Object = clone(obj)
    for holder, key, _ in list(strangers(result, shape)):
        del holder[key]
    return result


def faults(value: Any, shape: Shape | None, path: str = "") -> Iterator[FieldError]:
    """Values of a wrong JSON type, values that an enum excludes, required fields that are missing.

    Null counts as absent. Required fields of `status` are not asked for: it is written bit by bit.
    """
    if value is None or shape is None:
        return
    types = shape.types
    if types and not any(_fits(value, type) for type in types):
        yield _wrong_type(value, types, path)
        return
    if shape.enum and value not in shape.enum:
        yield status.not_supported(path, value, [str(item) for item in shape.enum if item != ""])
    if isinstance(value, dict):
        yield from _map_faults(value, shape, path)
    elif isinstance(value, list):
        element = shape.items()
        for index, item in enumerate(value):
            yield from faults(item, element, f"{path}[{index}]")


def _map_faults(value: Object, shape: Shape, path: str) -> Iterator[FieldError]:
    if not path.startswith("status"):
        for name in shape.required:
            if value.get(name) is None:
                yield status.required(f"{path}.{name}" if path else name)
    for key, item in value.items():
        yield from faults(item, shape.field(key), f"{path}.{key}" if path else key)


def _fits(value: Any, type: str) -> bool:
    match type:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case _:
            return True


_NAMES: Final = {
    str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object",
}


def _wrong_type(value: Any, types: tuple[str, ...], path: str) -> FieldError:
    """In the words of apiextensions-apiserver's schema validation."""
    got = _NAMES.get(type(value), "null")
    why = f'{path} in body must be of type {",".join(types)}: "{got}"'
    return FieldError(path, status.TYPE_INVALID, why, got)
