"""Rules of maps from file name to content: ConfigMap and Secret."""

from __future__ import annotations

import base64
import binascii

from vmpod.kinds.parts.reading import mapping
from vmpod.model import names
from vmpod.model.meta import Object
from vmpod.model.status import TOO_LONG, TYPE_INVALID, FieldError, refused, wrong

MAX_BYTES = 1024 * 1024
FROZEN = "field is immutable when `immutable` is set"


def decoded(value: object) -> bytes | None:
    """The content of a base64 text, None when it is no such text."""
    if not isinstance(value, str):
        return None
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None


def file_errors(obj: Object, field: str, *, encoded: bool = False, hide: bool = False) -> list[FieldError]:
    """Keys that can be file names, contents that are text (`encoded`: base64 text), not too much in all.

    `hide` keeps contents out of the messages.
    """
    errors, size = [], 0
    for key, value in mapping(obj.get(field)).items():
        path = f"{field}[{key}]"
        errors += [wrong(path, key, fault) for fault in names.config_key_faults(key)]
        content = decoded(value) if encoded else value.encode() if isinstance(value, str) else None
        if content is None:
            shown = "<secret contents redacted>" if hide else value
            told = "must be base64 encoded" if encoded and isinstance(value, str) else "must be a string"
            errors.append(FieldError(path, TYPE_INVALID, told, shown))
        size += len(content or b"")
    if size > MAX_BYTES:
        errors.append(FieldError(field, TOO_LONG, f"may not be more than {MAX_BYTES} bytes"))
    return errors


def frozen_errors(new: Object, old: Object | None, fields: tuple[str, ...]) -> list[FieldError]:
    """An object with `immutable: true` stays as it is, that field included."""
    if old is None or old.get("immutable") is not True:
        return []
    errors = [] if new.get("immutable") is True else [refused("immutable", FROZEN)]
    return errors + [refused(key, FROZEN) for key in fields if (new.get(key) or {}) != (old.get(key) or {})]
