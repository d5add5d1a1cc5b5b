"""JSON patch (RFC 6902), JSON merge patch (RFC 7386) and the way back: a merge patch from two objects.

Strategic merge patch is in `strategic`; it is named here too, so that the three stand side by side.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vmpod.model import status
from vmpod.model.diff import is_same
from vmpod.model.meta import Object, clone
from vmpod.model.strategic import PatchSchema, strategic_merge

__all__ = ["PatchSchema", "json_patch", "merge_diff", "merge_patch", "strategic_merge"]

MAX_OPERATIONS: Final = 10_000  # as kube-apiserver


def json_patch(obj: Object, ops: Sequence[Mapping[str, Any]]) -> Object:
    """The object with RFC 6902 operations applied, all or none.

    Raises ApiError: 400 when the patch is none, 422 when an operation does not apply, 413 for too many.
    """
    import jsonpatch

    if not isinstance(ops, list):
        raise status.bad_request("error decoding patch: a JSON patch is a list of operations")
    if len(ops) > MAX_OPERATIONS:
        why = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(ops)}"
        raise status.too_large(why)
    patched: Any = clone(obj)
    try:
        for op in clone(ops):
            if (fitted := _fitted(patched, op)) is not None:
                patched = jsonpatch.JsonPatch([fitted]).apply(patched, in_place=True)
    except jsonpatch.JsonPatchTestFailed:
        raise _inapplicable(f"testing value {op.get('path')} failed: test failed") from None
    except (jsonpatch.InvalidJsonPatch, AttributeError) as error:
        raise status.bad_request(f"error decoding patch: {error}") from None
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, KeyError) as error:
        raise _inapplicable(str(error)) from None
    if not isinstance(patched, dict):
        raise _inapplicable("the patched document is not an object")
    return patched


def _fitted(doc: Any, op: Object) -> Object | None:
    """The operation in the RFC's terms, None for one that changes nothing.

    The Go library of kube-apiserver (json-patch.v4) takes more: negative indexes count from the end, `replace` of
    a field that is not there sets it, `test` for null passes on such a field.
    """
    grows = op.get("op") in ("add", "copy", "move")
    op = op | {key: _counted(doc, op[key], grows and key == "path") for key in ("from", "path") if key in op}
    parent, key, is_there = _at(doc, op["path"]) if "path" in op else (None, "", True)
    if isinstance(parent, dict) and not is_there:
        if op.get("op") == "replace":
            return op | {"op": "add"}
        if op.get("op") == "test" and op.get("value", key) is None:
            return None
    return op


def _steps(path: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def _at(doc: Any, path: str) -> tuple[Any, str, bool]:
    """What holds the value at a path, its key there, and whether it is there."""
    *above, last = _steps(path) or [""]
    for step in above:
        doc = _below(doc, step)
    return doc, last, isinstance(doc, dict) and last in doc


def _below(doc: Any, step: str) -> Any:
    if isinstance(doc, list) and step.isdecimal() and int(step) < len(doc):
        return doc[int(step)]
    return doc.get(step) if isinstance(doc, dict) else None


def _counted(doc: Any, path: str, grows: bool) -> str:
    """The path with negative indexes of lists made positive; with `grows` -1 is the place after the last."""
    if not path.startswith("/"):
        return path
    raw = path.split("/")
    for place, step in enumerate(_steps(path), 1):
        if isinstance(doc, list) and re.fullmatch(r"-\d+", step):
            size = len(doc) + (grows and place == len(raw) - 1)
            step = raw[place] = str(int(step) + size)
        doc = _below(doc, step)
    return "/".join(raw)


def _inapplicable(why: str) -> status.ApiError:
    message = "the server rejected our request due to an error in our request"
    return status.ApiError(422, "Invalid", message, {"causes": [{"message": why}]})


def merge_patch(obj: Any, patch: Any) -> Any:
    """The object with an RFC 7386 patch applied: null deletes, objects merge, anything else replaces."""
    if not isinstance(patch, Mapping):
        return clone(patch)
    result = dict(obj) if isinstance(obj, Mapping) else {}
    for key, wanted in patch.items():
        if wanted is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), wanted)
    return clone(result)


def merge_diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> Object:
    """The smallest merge patch that turns `old` into `new`; empty when they are equal.

    A merge patch cannot set a field to null: such a field of `new` counts as absent.
    """
    patch: Object = {key: None for key in old if new.get(key) is None}
    for key, wanted in new.items():
        before = old.get(key)
        if wanted is None or (key in old and is_same(before, wanted)):
            continue
        if isinstance(before, Mapping) and isinstance(wanted, Mapping):
            if inner := merge_diff(before, wanted):
                patch[key] = inner
        else:
            patch[key] = clone(wanted)
    return patch
