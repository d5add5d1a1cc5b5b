"""Secret."""

from __future__ import annotations

import base64
import json

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.checks import immutable
from vmpod.kinds.parts.file_rules import decoded, file_errors, frozen_errors
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, fill, mapping, section, text
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, required, wrong
from vmpod.model.table import AGE, NAME

HIDDEN = "<secret contents redacted>"
_NEEDED_KEYS = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_ACCOUNT_ANNOTATION = "kubernetes.io/service-account.name"


def default(obj: Object) -> Object:
    """Type Opaque; `stringData` is written into `data` and not kept."""
    fill(obj, "type", "Opaque")
    plain = mapping(obj.get("stringData"))
    if all(isinstance(value, str) for value in plain.values()):
        obj.pop("stringData", None)
        if plain:
            encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
            section(obj, "data").update(encoded)
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    errors = [
        *file_errors(new, "data", encoded=True, hide=True),
        *file_errors(new, "stringData", hide=True),
        *_type_errors(new),
        *frozen_errors(new, old, ("data",)),
    ]
    return errors if old is None else [*errors, *immutable(new, old, ("type",))]


def _type_errors(obj: Object) -> list[FieldError]:
    """What each well-known type must hold."""
    type, data = text(obj, "type"), mapping(obj.get("data"))
    errors = [required(f"data[{key}]") for key in _NEEDED_KEYS.get(type, ()) if key not in data]
    if type == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
        errors += [required("data[username]"), required("data[password]")]
    account = dig(obj, "metadata", "annotations").get(_ACCOUNT_ANNOTATION)
    if type == "kubernetes.io/service-account-token" and not account:
        errors.append(required(f"metadata.annotations[{_ACCOUNT_ANNOTATION}]"))
    if type in ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"):
        errors += [
            wrong(f"data[{key}]", HIDDEN, "must be JSON")
            for key in _NEEDED_KEYS[type] if key in data and not _is_json(decoded(data[key]))
        ]
    return errors


def _is_json(content: bytes | None) -> bool:
    try:
        json.loads(content or b"")
    except ValueError:
        return False
    return True


SECRET = Kind(
    "", "v1", "Secret", "secrets", True,
    columns=(
        NAME,
        cell("Type", lambda obj: text(obj, "type")),
        cell("Data", lambda obj: len(mapping(obj.get("data"))), "integer"),
        AGE,
    ),
    default=default,
    validate=all_of(metadata_rules(), _rules),
    selectable=("type",),
)
