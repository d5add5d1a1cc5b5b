"""Event (core/v1)."""

from __future__ import annotations

from datetime import datetime

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, mapping, number, text
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, required, wrong
from vmpod.model.table import NAME, Column, age


def default(obj: Object) -> Object:
    """An event that does not say otherwise is a normal one."""
    if not obj.get("type"):
        obj["type"] = "Normal"
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    about, own = dig(new, "involvedObject"), text(mapping(new.get("metadata")), "namespace")
    namespace = text(about, "namespace")
    if not about:
        return [required("involvedObject")]
    # Events about cluster-scoped objects live in `default`.
    if (namespace and namespace != own) or (not namespace and own not in ("default", "kube-system")):
        return [wrong("involvedObject.namespace", namespace, "does not match event.namespace")]
    return []


def _first_seen(obj: Object, now: datetime) -> str:
    return age(text(obj, "firstTimestamp") or text(obj, "eventTime"), now)


def _last_seen(obj: Object, now: datetime) -> str:
    last = text(dig(obj, "series"), "lastObservedTime") or text(obj, "lastTimestamp")
    return age(last, now) if last else _first_seen(obj, now)


def _object_cell(obj: Object) -> str:
    about = dig(obj, "involvedObject")
    kind, name = text(about, "kind").lower(), text(about, "name")
    return f"{kind}/{name}" if name else kind


def _source_cell(obj: Object) -> str:
    source = dig(obj, "source")
    component = text(source, "component") or text(obj, "reportingComponent")
    host = text(source, "host") or text(obj, "reportingInstance")
    return ", ".join(part for part in (component, host) if part)


def _count_cell(obj: Object) -> int:
    return number(dig(obj, "series"), "count") or number(obj, "count") or 1


EVENT = Kind(
    "", "v1", "Event", "events", True,
    short_names=("ev",),
    columns=(
        Column("Last Seen", value=_last_seen),
        cell("Type", lambda obj: text(obj, "type")),
        cell("Reason", lambda obj: text(obj, "reason")),
        cell("Object", _object_cell),
        cell("Subobject", lambda obj: text(dig(obj, "involvedObject"), "fieldPath"), wide=True),
        cell("Source", _source_cell, wide=True),
        cell("Message", lambda obj: text(obj, "message").strip()),
        Column("First Seen", value=_first_seen, priority=1),
        cell("Count", _count_cell, "integer", wide=True),
        Column(NAME.name, format=NAME.format, path=NAME.path, description=NAME.description, priority=1),
    ),
    default=default,
    validate=all_of(metadata_rules(), _rules),
    selectable=(
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
        "reportingComponent", "source", "type",
    ),
)
