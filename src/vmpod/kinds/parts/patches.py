"""JSON patches that objects carry as text, one operation each, for a machine that is made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator

from vmpod.model.meta import Object
from vmpod.model.status import FieldError, wrong

_OPERATIONS = ("add", "copy", "move", "remove", "replace", "test")


def patch_errors(spec: Object) -> Iterator[FieldError]:
    """What in `spec.patches` is no operation."""
    for number, one in enumerate(spec.get("patches") or ()):
        try:
            found = json.loads(one)
        except ValueError as error:
            yield wrong(f"spec.patches[{number}]", one, f"it is no JSON: {error}")
            continue
        is_one = isinstance(found, dict) and found.get("op") in _OPERATIONS and isinstance(found.get("path"), str)
        if not is_one:
            yield wrong(f"spec.patches[{number}]", one, "it is no operation of a JSON patch (RFC 6902)")
