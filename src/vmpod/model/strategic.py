"""Strategic merge patch: k8s.io/apimachinery/pkg/util/strategicpatch, server side.

Lists whose schema says `merge` are merged by their merge key (maps) or as sets (scalars). The directives
`$patch`, `$retainKeys`, `$setElementOrder/FIELD` and `$deleteFromPrimitiveList/FIELD` are followed and never
stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from vmpod.model import status
from vmpod.model.meta import Object, clone

_DIRECTIVE: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_ORDER: Final = "$setElementOrder/"
_DELETE: Final = "$deleteFromPrimitiveList/"

Rank = Callable[[Any], int]


class PatchSchema(Protocol):
    """What a strategic patch must know of a field."""

    @property
    def strategy(self) -> frozenset[str]:
        """x-kubernetes-patch-strategy: any of merge, replace, retainKeys."""
        ...

    @property
    def merge_key(self) -> str:
        """x-kubernetes-patch-merge-key, empty when there is none."""
        ...

    def field(self, name: str) -> PatchSchema | None:
        """The schema of a field of a map, None when it is unknown."""
        ...

    def items(self) -> PatchSchema | None:
        """The schema of a list's elements, None when it is unknown."""
        ...


def strategic_merge(obj: Object, patch: Mapping[str, Any], schema: PatchSchema | None) -> Object:
    """The object with the patch applied. Neither argument is changed.

    Raises ApiError 400 for a patch that contradicts itself or names no merge key, 422 for lists of lists.
    """
    return _merge_map(clone(obj), clone(dict(patch)), schema)


def _merge_map(original: Object, patch: Object, schema: PatchSchema | None) -> Object:
    if _DIRECTIVE in patch:
        return _directed_map(patch)
    _retain_keys(original, patch)
    _merge_ordered_lists(original, patch, schema)
    for key, wanted in patch.items():
        is_deletion = key.startswith(_DELETE)
        _merge_field(original, key.removeprefix(_DELETE), wanted, schema, is_deletion)
    return original


def _directed_map(patch: Object) -> Object:
    directive = patch.pop(_DIRECTIVE)
    if directive == "replace":
        return _plain_map(patch)
    if directive == "delete":
        return {}
    raise _bad_directive(directive, patch)


def _bad_directive(directive: Any, where: Object) -> status.ApiError:
    return status.bad_request(f"unknown patch type: {directive} in map: {_go_map(where)}")


def _go_map(value: Mapping[str, Any]) -> str:
    inner = " ".join(f"{key}:{item}" for key, item in sorted(value.items()))
    return f"map[{inner}]"


def _retain_keys(original: Object, patch: Object) -> None:
    if _RETAIN not in patch:
        return
    kept = patch.pop(_RETAIN)
    if not isinstance(kept, list):
        raise _bad_type("list", kept)
    for key, wanted in patch.items():
        if wanted is not None and not key.startswith((_DELETE, _ORDER)) and key not in kept:
            raise status.bad_request("invalid patch format of retainKeys")
    for key in [key for key in original if key not in kept]:
        del original[key]


def _bad_type(expected: str, value: Any) -> status.ApiError:
    return status.bad_request(f"expected a {expected}, but received a {type(value).__name__}")


def _merge_field(
    original: Object, key: str, wanted: Any, schema: PatchSchema | None, is_deletion: bool
) -> None:
    if wanted is None:
        original.pop(key, None)
        return
    before = original.get(key)
    field = schema.field(key) if schema else None
    if isinstance(wanted, dict) and isinstance(before, dict):
        original[key] = _plain(wanted) if _replaces(field) else _merge_map(before, wanted, field)
    elif isinstance(wanted, list) and isinstance(before, list):
        original[key] = _merge_list_field(before, wanted, field, is_deletion)
    elif not is_deletion:
        _set_field(original, key, wanted)


def _set_field(original: Object, key: str, wanted: Any) -> None:
    """Take over a value as it is; one that is nothing but a directive is no value."""
    if isinstance(wanted, dict) and _DIRECTIVE in wanted:
        original.pop(key, None)
    else:
        original[key] = _plain(wanted)


def _plain(value: Any) -> Any:
    """A patch's value as it is stored: without directives and nulls."""
    if isinstance(value, dict):
        return _plain_map(value)
    if isinstance(value, list):
        return [_plain(item) for item in value if not _is_directed(item)]
    return value


def _plain_map(value: Object) -> Object:
    return {
        key: _plain(item) for key, item in value.items()
        if item is not None and not _is_directive(key) and not _is_directed(item)
    }


def _is_directive(key: str) -> bool:
    return key in (_DIRECTIVE, _RETAIN) or key.startswith((_ORDER, _DELETE))


def _is_directed(value: Any) -> bool:
    return isinstance(value, dict) and _DIRECTIVE in value


def _strategy(field: PatchSchema | None) -> frozenset[str]:
    return field.strategy if field else frozenset()


def _replaces(field: PatchSchema | None) -> bool:
    return "replace" in _strategy(field)


def _merge_list_field(
    before: list[Any], wanted: list[Any], field: PatchSchema | None, is_deletion: bool
) -> list[Any]:
    if is_deletion or "merge" in _strategy(field):
        return _merge_list(before, wanted, field, is_deletion)
    return [_plain(item) for item in wanted]


def _merge_list(
    before: list[Any], wanted: list[Any], field: PatchSchema | None, is_deletion: bool
) -> list[Any]:
    if not before and not wanted:
        return before
    if not _holds_maps(before, wanted):
        if is_deletion:
            return [item for item in before if item not in wanted]
        merged = _unique([*before, *wanted])
        return _in_order(merged, wanted, before, lambda item: item)
    key = field.merge_key if field else ""
    if not key:
        raise status.bad_request("cannot merge lists without merge key")
    server, additions = _apply_special(before, wanted, key)
    merged = _merge_elements(list(server), additions, key, field.items() if field else None)
    return _in_order(merged, additions, server, lambda item: item.get(key))


def _holds_maps(*lists: list[Any]) -> bool:
    kinds = {dict if isinstance(item, dict) else type(item) for items in lists for item in items}
    if list in kinds:
        message = "lists of lists are not supported"
        raise status.ApiError(422, "Invalid", message, {"causes": [{"message": message}]})
    if dict in kinds and len(kinds) > 1:
        raise status.bad_request("list element types are not identical")
    return dict in kinds


def _unique(items: list[Any]) -> list[Any]:
    result: list[Any] = []
    for item in items:
        if item not in result:
            result.append(item)
    return result


def _apply_special(before: list[Any], wanted: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Follow the `$patch` of elements; returns what stays of the original and the elements left to merge."""
    additions = []
    replace = False
    for element in wanted:
        match element.get(_DIRECTIVE):
            case None:
                additions.append(element)
            case "delete":
                doomed = _key_of(element, key)
                before = [item for item in before if key not in item or item[key] != doomed]
            case "replace":
                replace = True
            case "merge":
                raise status.bad_request("merging lists cannot yet be specified in the patch")
            case directive:
                raise _bad_directive(directive, element)
    return ([_plain(item) for item in additions], []) if replace else (before, additions)


def _key_of(element: Object, key: str) -> Any:
    if key not in element:
        raise status.bad_request(f"map: {_go_map(element)} does not contain declared merge key: {key}")
    return element[key]


def _merge_elements(
    merged: list[Any], additions: list[Any], key: str, schema: PatchSchema | None
) -> list[Any]:
    for element in additions:
        wanted = _key_of(element, key)
        at = next((i for i, item in enumerate(merged) if key in item and item[key] == wanted), None)
        if at is None:
            merged.append(_plain(element))
        else:
            merged[at] = _merge_map(merged[at], element, schema)
    return merged


def _merge_ordered_lists(original: Object, patch: Object, schema: PatchSchema | None) -> None:
    """Merge the lists that come with `$setElementOrder`, and take both out of the patch."""
    for directive in [key for key in patch if key.startswith(_ORDER)]:
        order = patch.pop(directive)
        key = directive.removeprefix(_ORDER)
        before, wanted = original.get(key), patch.pop(key, None) if key in patch else None
        for value in (order, before, wanted):
            if value is not None and not isinstance(value, list):
                raise _bad_type("list", value)
        if before is None and wanted is None:
            continue
        original[key] = _ordered(before, wanted, order, schema.field(key) if schema else None)


def _ordered(
    before: list[Any] | None, wanted: list[Any] | None, order: list[Any], field: PatchSchema | None
) -> list[Any]:
    key = field.merge_key if field else ""
    _check_order(wanted or [], order, key)
    if before is None:
        merged = [_plain(item) for item in wanted or [] if not _is_directed(item)]
    elif wanted is None:
        merged = before
    else:
        merged = _merge_list_field(list(before), wanted, field, is_deletion=False)
    return _in_order(merged, order, before or [], _identity(key))


def _identity(key: str) -> Callable[[Any], Any]:
    return (lambda item: item.get(key)) if key else (lambda item: item)


def _check_order(wanted: list[Any], order: list[Any], key: str) -> None:
    """The patch's elements must be named by the order, in that order; others may stand between."""
    identity = _identity(key)
    named = iter([identity(item) for item in order])
    for element in wanted:
        if not _is_directed(element) and not any(identity(element) == other for other in named):
            lists = f"The order in patch list:\n{wanted}\n doesn't match $setElementOrder list:\n{order}\n"
            raise status.bad_request(lists)


def _in_order(
    merged: list[Any], order: list[Any], server: list[Any], identity: Callable[[Any], Any]
) -> list[Any]:
    """Elements named by `order` in that order; those only the server has keep their place if possible."""
    wanted = _rank(order, identity)
    known = _rank(server, identity)
    ours = sorted((item for item in merged if wanted(item) >= 0), key=wanted)
    theirs = sorted((item for item in merged if wanted(item) < 0), key=known)
    return _interleave(theirs, ours, known)


def _rank(items: list[Any], identity: Callable[[Any], Any]) -> Rank:
    places = [identity(item) for item in items]
    return lambda item: places.index(identity(item)) if identity(item) in places else -1


def _interleave(left: list[Any], right: list[Any], place: Rank) -> list[Any]:
    """Put each of `left` before the first of `right` that followed it on the server; keep both orders."""
    result: list[Any] = []
    i = j = 0
    while i < len(left) and j < len(right):
        if 0 <= place(left[i]) < place(right[j]):
            result.append(left[i])
            i += 1
        else:
            result.append(right[j])
            j += 1
    return result + left[i:] + right[j:]
