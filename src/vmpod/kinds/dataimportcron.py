"""DataImportCron (CDI): an image that is looked for by schedule, and imported when it has changed."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, fill, mapping, section, text
from vmpod.kinds.parts.support import ACTED, BLOCKS, Tree, unsupported
from vmpod.model import cron
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, not_supported, refused, required, wrong
from vmpod.model.table import AGE, NAME

DESIRED = "cdi.kubevirt.io/storage.import.sourceDesiredDigest"
LAST = "cdi.kubevirt.io/storage.import.lastCronTime"
_FIXED = ("managedDataSource", "template")
LABEL = "cdi.kubevirt.io/dataImportCron"
_SPEC: Tree = {"template": ACTED, "schedule": ACTED, "managedDataSource": ACTED, "importsToKeep": ACTED,
               "garbageCollect": ACTED, "retentionPolicy": ACTED, "serviceAccountName": BLOCKS}  # fmt: skip


def default(obj: Object) -> Object:
    """Three imports are kept, older ones go."""
    spec = section(obj, "spec")
    fill(spec, "importsToKeep", 3)
    fill(spec, "garbageCollect", "Outdated")
    fill(spec, "retentionPolicy", "All")
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    """CDI's dataimportcron-validate webhook."""
    spec = mapping(new.get("spec"))
    errors = list(_spec_errors(spec))
    if old is not None and any(dig(old, "spec").get(key) != spec.get(key) for key in _FIXED):
        errors.append(refused("spec", "Cannot update DataImportCron Spec"))
    return errors


def _spec_errors(spec: Object) -> Iterator[FieldError]:
    source = dig(spec, "template", "spec", "source")
    if not text(dig(source, "registry"), "url"):
        yield wrong("spec.template", source, "Missing registry source: nothing else is looked for by schedule")
    elif not text(dig(source, "registry"), "url").startswith("docker://"):
        yield wrong("spec.template.spec.source.registry.url", source["registry"]["url"], "only docker:// is supported")
    try:
        if text(spec, "schedule"):
            cron.parse(text(spec, "schedule"))
    except ValueError as error:
        yield wrong("spec.schedule", spec["schedule"], f"Illegal cron schedule: {error}")
    if not text(spec, "managedDataSource"):
        yield required("spec.managedDataSource")
    if isinstance(spec.get("importsToKeep"), int) and spec["importsToKeep"] < 0:
        yield wrong("spec.importsToKeep", spec["importsToKeep"], "Illegal ImportsToKeep value")
    for key, known in (("garbageCollect", ("Never", "Outdated")), ("retentionPolicy", ("All", "None"))):
        if text(spec, key) and text(spec, key) not in known:
            yield not_supported(f"spec.{key}", spec[key], known)


DATAIMPORTCRON = Kind(
    "cdi.kubevirt.io", "v1beta1", "DataImportCron", "dataimportcrons", True,
    short_names=("dic", "dics"),
    categories=("all",),
    columns=(NAME, cell("Format", lambda obj: dig(obj, "status").get("sourceFormat")), AGE),
    default=default,
    validate=all_of(metadata_rules(), _rules),
    warnings=lambda obj: list(unsupported(obj.get("spec"), _SPEC, "spec")),
    subresources=frozenset({"status"}),
    has_generation=True,
)
