"""EndpointSlice."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts import checks
from vmpod.kinds.parts.addresses import address_errors, version_of
from vmpod.kinds.parts.cells import cell, with_more
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import entries, fill, text
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, required, wrong
from vmpod.model.table import AGE, NAME

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")


def default(obj: Object) -> Object:
    """Ports have a name, be it empty, and are TCP."""
    for port in entries(obj, "ports"):
        if port.get("name") is None:
            port["name"] = ""
        fill(port, "protocol", "TCP")
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    errors = [] if text(new, "addressType") else [required("addressType")]
    errors += [
        FieldError("addressType", error.type, error.message, error.value)
        for error in checks.one_of(new, "addressType", "", ADDRESS_TYPES)
    ]
    for index, endpoint in enumerate(entries(new, "endpoints")):
        errors += _endpoint_errors(endpoint, f"endpoints[{index}]", text(new, "addressType"))
    for index, port in enumerate(entries(new, "ports")):
        if port.get("port") is not None:
            errors += checks.port_errors(port["port"], f"ports[{index}].port")
        errors += checks.one_of(port, "protocol", f"ports[{index}]", checks.PROTOCOLS)
    return errors if old is None else [*errors, *checks.immutable(new, old, ("addressType",))]


def _endpoint_errors(endpoint: Object, path: str, type: str) -> Iterator[FieldError]:
    addresses = endpoint.get("addresses")
    if not isinstance(addresses, list) or not addresses:
        yield required(f"{path}.addresses", "must contain at least 1 address")
        return
    if type != "FQDN":
        for index, address in enumerate(addresses):
            place = f"{path}.addresses[{index}]"
            yield from address_errors(address, place)
            if type in ("IPv4", "IPv6") and version_of(address) not in (0, int(type[-1])):
                yield wrong(place, address, f"must be a valid {type} address")


def _ports_cell(obj: Object) -> str:
    ports = [str(port.get("port") or port.get("name") or "*") for port in entries(obj, "ports")]
    return with_more(ports, "<unset>")


def _endpoints_cell(obj: Object) -> str:
    listed = [endpoint.get("addresses") for endpoint in entries(obj, "endpoints")]
    return with_more([str(one) for some in listed if isinstance(some, list) for one in some], "<unset>")


ENDPOINTSLICE = Kind(
    "discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", True,
    columns=(
        NAME,
        cell("AddressType", lambda obj: text(obj, "addressType")),
        cell("Ports", _ports_cell),
        cell("Endpoints", _endpoints_cell),
        AGE,
    ),
    default=default,
    validate=all_of(metadata_rules(), _rules),
    has_generation=True,
)
