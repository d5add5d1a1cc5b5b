"""DataSource (CDI): a name for what DataVolumes are copied from."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, set_keys
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, wrong

SOURCES = ("pvc", "snapshot", "dataSource")


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    """At most one source."""
    given = set_keys(dig(new, "spec", "source"), SOURCES)
    return [wrong("spec.source", given, "Multiple data sources")] if len(given) > 1 else []


DATASOURCE = Kind(
    "cdi.kubevirt.io", "v1beta1", "DataSource", "datasources", True,
    short_names=("das",),
    categories=("all",),
    validate=all_of(metadata_rules(), _rules),
    subresources=frozenset({"status"}),
    has_generation=True,
)
