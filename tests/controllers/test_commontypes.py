"""The instance types and preferences of every home are valid, and as the public project sizes them."""

from __future__ import annotations

from vmpod.controllers.commontypes import instancetypes, preferences
from vmpod.kinds import VIRTUALMACHINECLUSTERINSTANCETYPE, VIRTUALMACHINECLUSTERPREFERENCE, schema
from vmpod.kinds.parts.instancetypes import expand
from vmpod.model import meta


def test_every_object_is_valid() -> None:
    for kind, objects in ((VIRTUALMACHINECLUSTERINSTANCETYPE, [*instancetypes()]), (VIRTUALMACHINECLUSTERPREFERENCE, [*preferences()])):
        assert len({meta.name(obj) for obj in objects}) == len(objects) > 10
        for obj in objects:
            assert not schema.type_errors(kind, obj) and not schema.unknown_fields(kind, obj), meta.name(obj)
            assert kind.validate(obj, None) == []


def test_sizes() -> None:
    sizes = {meta.name(one): (one["spec"]["cpu"]["guest"], one["spec"]["memory"]["guest"]) for one in instancetypes()}
    assert sizes["u1.nano"] == (1, "512Mi") and sizes["u1.8xlarge"] == (32, "128Gi") and sizes["n1.medium"] == (4, "4Gi")
    assert sizes["m1.large"] == (2, "16Gi") and sizes["cx1.xlarge"] == (4, "8Gi") and sizes["rt1.micro"] == (1, "1Gi")


def test_every_preference_fits_a_type() -> None:
    (small,) = [one["spec"] for one in instancetypes() if meta.name(one) == "u1.medium"]
    for one in preferences():
        assert expand({"spec": {"domain": {"devices": {}}}}, small, one["spec"], "spec.template.spec") == []
