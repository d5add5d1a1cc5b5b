"""Endpoints."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts import checks
from vmpod.kinds.parts.addresses import address_errors
from vmpod.kinds.parts.cells import NONE, cell, with_more
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import entries, fill, indexed, text
from vmpod.model import names
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, required
from vmpod.model.table import AGE, NAME


def default(obj: Object) -> Object:
    """Ports are TCP unless said otherwise."""
    for subset in entries(obj, "subsets"):
        for port in entries(subset, "ports"):
            fill(port, "protocol", "TCP")
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    return [
        FieldError(error.path.removeprefix("."), error.type, error.message, error.value)
        for path, subset in indexed(new, "subsets", "") for error in _subset_errors(subset, path)
    ]


def _subset_errors(subset: Object, path: str) -> Iterator[FieldError]:
    if not subset.get("addresses") and not subset.get("notReadyAddresses"):
        yield required(path, "must specify `addresses` or `notReadyAddresses`")
    for key in ("addresses", "notReadyAddresses"):
        for here, address in indexed(subset, key, path):
            yield from address_errors(address.get("ip"), f"{here}.ip")
    ports = list(indexed(subset, "ports", path))
    for here, port in ports:
        if len(ports) > 1 and not port.get("name"):
            yield required(f"{here}.name")
        elif text(port, "name"):
            yield from checks.by_rule(f"{here}.name", text(port, "name"), names.label_faults)
        yield from checks.port_errors(port.get("port"), f"{here}.port")
        yield from checks.one_of(port, "protocol", here, checks.PROTOCOLS)


def _endpoints_cell(obj: Object) -> str:
    shown = []
    for subset in entries(obj, "subsets"):
        addresses = [text(address, "ip") for address in entries(subset, "addresses")]
        ports = [port.get("port") for port in entries(subset, "ports")]
        shown += [f"{_host(ip)}:{port}" for port in ports for ip in addresses] if ports else addresses
    return with_more(shown, NONE)


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


ENDPOINTS = Kind(
    "", "v1", "Endpoints", "endpoints", True,
    short_names=("ep",),
    columns=(NAME, cell("Endpoints", _endpoints_cell), AGE),
    default=default,
    validate=all_of(metadata_rules(), _rules),
)
