"""ControllerRevision."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts import checks
from vmpod.kinds.parts.cells import NONE, cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import number
from vmpod.model.meta import Object, controller_of
from vmpod.model.status import FieldError, required, wrong
from vmpod.model.table import AGE, NAME


def default(obj: Object) -> Object:
    """The revision counts from zero."""
    if obj.get("revision") is None:
        obj["revision"] = 0
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    """What a revision holds never changes: history is only added to and thrown away."""
    revision, errors = number(new, "revision") or 0, []
    if new.get("data") is None:
        errors.append(required("data", "data is mandatory"))
    if revision < 0:
        errors.append(wrong("revision", revision, checks.NOT_NEGATIVE))
    return errors if old is None else [*errors, *checks.immutable(new, old, ("data",))]


def _controller(obj: Object) -> str:
    """Whose history it is, as kubectl names it: `statefulset.apps/web`."""
    owner = controller_of(obj)
    if owner is None:
        return NONE
    group = str(owner.get("apiVersion") or "").rpartition("/")[0]
    return f"{str(owner.get('kind')).lower()}{'.' if group else ''}{group}/{owner.get('name')}"


CONTROLLERREVISION = Kind(
    "apps", "v1", "ControllerRevision", "controllerrevisions", True,
    columns=(
        NAME, cell("Controller", _controller),
        cell("Revision", lambda obj: number(obj, "revision") or 0, "integer"), AGE,
    ),
    default=default,
    validate=all_of(metadata_rules(), _rules),
)
