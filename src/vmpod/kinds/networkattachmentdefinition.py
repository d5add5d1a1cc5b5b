"""NetworkAttachmentDefinition: a further network for pods and machines, as Multus knows it."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts import cni
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, mapping, text
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, wrong


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    config = dig(new, "spec").get("config")
    if config is None:
        return []
    try:
        cni.read(str(config), "")
    except cni.Unusable as unusable:
        if "JSON" in str(unusable):
            return [wrong("spec.config", config, str(unusable))]
    return []


def _warnings(obj: Object) -> list[str]:
    config, meta = text(dig(obj, "spec"), "config"), mapping(obj.get("metadata"))
    if not config:
        return ["spec.config: nothing starts with this network, there are no CNI configuration files of a node here"]
    try:
        cni.read(config, text(meta, "name"))
    except cni.Unusable as unusable:
        return [f"spec.config: {unusable}, nothing starts with it"]
    return [f"spec.config.{key}: not supported, ignored" for key in cni.idle(config)]


NETWORKATTACHMENTDEFINITION = Kind(
    "k8s.cni.cncf.io", "v1", "NetworkAttachmentDefinition", "network-attachment-definitions", True,
    schema="io.cncf.cni.k8s.v1.NetworkAttachmentDefinition",
    short_names=("net-attach-def",),
    validate=all_of(metadata_rules(), _rules),
    warnings=_warnings,
    has_generation=True,
)
