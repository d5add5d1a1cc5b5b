"""Rules of ObjectMeta: apimachinery's ValidateObjectMeta."""

from __future__ import annotations

from collections.abc import Callable

from vmpod.kinds.kind import Validate
from vmpod.kinds.parts.reading import entries, mapping, text
from vmpod.model import names
from vmpod.model.meta import Object
from vmpod.model.status import TOO_LONG, TYPE_INVALID, FieldError, required, wrong

NameRule = Callable[[str], list[str]]
ANNOTATIONS_MAX_BYTES = 256 * 1024


def metadata_rules(name_rule: NameRule = names.subdomain_faults) -> Validate:
    """A validator of `metadata` for kinds whose names follow the given rule."""

    def validate(new: Object, old: Object | None) -> list[FieldError]:
        meta = mapping(new.get("metadata"))
        return [
            *_name_errors(meta, name_rule),
            *label_errors(meta.get("labels"), "metadata.labels"),
            *annotation_errors(meta.get("annotations"), "metadata.annotations"),
            *_finalizer_errors(meta),
            *_owner_errors(meta),
        ]

    return validate


def _name_errors(meta: Object, rule: NameRule) -> list[FieldError]:
    """A name by the kind's rule; a generateName must make valid ones."""
    name, prefix = text(meta, "name"), text(meta, "generateName")
    if not name and not prefix:
        return [required("metadata.name", "name or generateName is required")]
    errors = [wrong("metadata.name", name, fault) for fault in rule(name)] if name else []
    if prefix:
        # The five random letters come after the prefix, so a trailing dash is right here.
        errors += [wrong("metadata.generateName", prefix, fault) for fault in rule(f"{prefix[:58]}x")]
    return errors


def label_errors(labels: object, path: str) -> list[FieldError]:
    """Keys and values of a map of labels."""
    errors = []
    for key, value in mapping(labels).items():
        errors += [wrong(path, key, fault) for fault in names.label_key_faults(key)]
        if not isinstance(value, str):
            errors.append(FieldError(f"{path}[{key}]", TYPE_INVALID, "must be a string", value))
            continue
        errors += [wrong(path, value, fault) for fault in names.label_value_faults(value)]
    return errors


def annotation_errors(annotations: object, path: str) -> list[FieldError]:
    """Keys of a map of annotations, and its size."""
    found = mapping(annotations)
    errors = [wrong(path, key, fault) for key in found for fault in names.label_key_faults(key.lower())]
    errors += [
        FieldError(f"{path}[{key}]", TYPE_INVALID, "must be a string", value)
        for key, value in found.items() if not isinstance(value, str)
    ]
    size = sum(len(key.encode()) + len(str(value).encode()) for key, value in found.items())
    if size > ANNOTATIONS_MAX_BYTES:
        errors.append(FieldError(path, TOO_LONG, f"may not be more than {ANNOTATIONS_MAX_BYTES} bytes"))
    return errors


def _finalizer_errors(meta: Object) -> list[FieldError]:
    finalizers = meta.get("finalizers")
    if not isinstance(finalizers, list):
        return []
    return [
        wrong("metadata.finalizers", name, fault)
        for name in finalizers for fault in names.label_key_faults(str(name))
    ]


def _owner_errors(meta: Object) -> list[FieldError]:
    """Each owner is named in full, and one at most is the controller."""
    errors = []
    owners = entries(meta, "ownerReferences")
    for index, owner in enumerate(owners):
        path = f"metadata.ownerReferences[{index}]"
        errors += [
            wrong(f"{path}.{key}", "", "must not be empty")
            for key in ("apiVersion", "kind", "name", "uid") if not text(owner, key)
        ]
    leading = [text(owner, "kind") + "/" + text(owner, "name") for owner in owners if owner.get("controller")]
    if len(leading) > 1:
        told = f'"true" in references for {" and ".join(leading)}'
        told = f"Only one reference can have Controller set to true. Found {told}"
        errors.append(wrong("metadata.ownerReferences", owners, told))
    return errors
