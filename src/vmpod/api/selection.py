"""Which objects of a collection a list or watch is about: label and field selectors of the query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from vmpod.api.call import Call
from vmpod.kinds import Kind
from vmpod.model import fieldpath, selectors, status
from vmpod.store import Record

_ALWAYS = ("metadata.name", "metadata.namespace")


@dataclass(frozen=True)
class Selection:
    """A predicate on records that decodes objects only when it has to."""

    kind: Kind
    labels: selectors.Selector
    fields: selectors.FieldSelector
    name: str = ""

    @property
    def is_everything(self) -> bool:
        return self.labels.is_empty and self.fields.is_empty and not self.name

    def matches(self, record: Record) -> bool:
        """Whether the record is selected."""
        if self.name and record.name != self.name:
            return False
        if not self.labels.matches(record.labels):
            return False
        return self.fields.is_empty or self._matches_fields(record)

    def _matches_fields(self, record: Record) -> bool:
        values = {"metadata.name": record.name, "metadata.namespace": record.namespace}
        asked = {term.field for term in self.fields.requirements}
        if asked.issubset(values):
            return self.fields.matches({}, values)
        obj = orjson.loads(record.value)
        for path in asked.difference(values):
            values[path] = _as_text(fieldpath.lookup(obj, path))
        return self.fields.matches(obj, values)

    def select(self, records: Sequence[Record]) -> Sequence[Record]:
        """Those that are selected, in the same order."""
        return records if self.is_everything else [record for record in records if self.matches(record)]


def _as_text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def selection_of(call: Call) -> Selection:
    """The selectors of the query, and the name in the path if the call is for one object.

    Raises ApiError 400 for wrong syntax and for fields that the kind cannot be selected by.
    """
    labels = selectors.parse_labels(call.query("labelSelector"))
    fields = selectors.parse_fields(call.query("fieldSelector"))
    for term in fields.requirements:
        _check_field(call.kind, term.field)
    return Selection(call.kind, labels, fields, call.name)


def _check_field(kind: Kind, path: str) -> None:
    if path in _ALWAYS or path in kind.selectable:
        return
    if kind.selectable:
        raise status.bad_request(f"field label not supported: {path}")
    raise status.bad_request(
        f'{status.quote(path)} is not a known field selector: only "metadata.name", "metadata.namespace"'
    )
