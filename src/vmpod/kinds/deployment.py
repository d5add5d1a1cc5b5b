"""Deployment."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts import checks
from vmpod.kinds.parts.cells import cell, template_columns
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.pod_defaults import default_pod_spec
from vmpod.kinds.parts.pod_rules import template_errors
from vmpod.kinds.parts.pod_support import pod_warnings
from vmpod.kinds.parts.reading import dig, fill, mapping, number, section
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, refused, wrong
from vmpod.model.table import AGE, NAME


def default(obj: Object) -> Object:
    """pkg/apis/apps/v1/defaults.go and the defaults of the pod template."""
    spec = section(obj, "spec")
    for key, value in (("replicas", 1), ("revisionHistoryLimit", 10), ("progressDeadlineSeconds", 600)):
        if spec.get(key) is None:
            spec[key] = value
    strategy = section(spec, "strategy")
    fill(strategy, "type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        for key in ("maxSurge", "maxUnavailable"):
            fill(section(strategy, "rollingUpdate"), key, "25%")
    default_pod_spec(section(spec, "template", "spec"))
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(new.get("spec"))
    counts = ("replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    errors = [
        *template_errors(new),
        *checks.not_negative(spec, counts, "spec"),
        *_strategy_errors(mapping(spec.get("strategy"))),
    ]
    deadline, ready = number(spec, "progressDeadlineSeconds"), number(spec, "minReadySeconds") or 0
    if deadline is not None and deadline <= ready:
        errors.append(wrong("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    if old is not None:
        errors += checks.immutable(spec, old.get("spec"), ("selector",), "spec")
    return errors


def _strategy_errors(strategy: Object) -> Iterator[FieldError]:
    yield from checks.one_of(strategy, "type", "spec.strategy", ("Recreate", "RollingUpdate"))
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") == "Recreate" and rolling is not None:
        told = "may not be specified when strategy `type` is 'Recreate'"
        yield refused("spec.strategy.rollingUpdate", told)
        return
    found = mapping(rolling)
    for key in ("maxSurge", "maxUnavailable"):
        yield from _share_errors(found.get(key), f"spec.strategy.rollingUpdate.{key}")
    if found and all(_is_none(found.get(key)) for key in ("maxSurge", "maxUnavailable")):
        told = "may not be 0 when `maxSurge` is 0"
        yield wrong("spec.strategy.rollingUpdate.maxUnavailable", found.get("maxUnavailable"), told)


def _is_none(share: object) -> bool:
    return share in (0, "0%")


def _share_errors(share: object, path: str) -> Iterator[FieldError]:
    """A number of pods or a percentage of them."""
    if isinstance(share, str) and not (share.endswith("%") and share[:-1].isdecimal()):
        told = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
        yield wrong(path, share, f"{told}regex used for validation is '[0-9]+%')")
    elif isinstance(share, int) and share < 0:
        yield wrong(path, share, checks.NOT_NEGATIVE)


def _ready_cell(obj: Object) -> str:
    return f"{number(obj.get('status'), 'readyReplicas') or 0}/{number(obj.get('spec'), 'replicas') or 0}"


DEPLOYMENT = Kind(
    "apps", "v1", "Deployment", "deployments", True,
    short_names=("deploy",),
    categories=("all",),
    columns=(
        NAME,
        cell("Ready", _ready_cell),
        cell("Up-to-date", lambda obj: number(obj.get("status"), "updatedReplicas") or 0, "integer"),
        cell("Available", lambda obj: number(obj.get("status"), "availableReplicas") or 0, "integer"),
        AGE,
        *template_columns(),
    ),
    default=default,
    validate=all_of(metadata_rules(), _rules),
    warnings=lambda obj: pod_warnings(dig(obj, "spec", "template", "spec"), "spec.template.spec"),
    subresources=frozenset({"status", "scale"}),
    has_generation=True,
)
