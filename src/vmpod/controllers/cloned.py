"""How a clone differs from the machine it is made of: the JSON patches of a VirtualMachineClone. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from vmpod.model.meta import Object, get

_LAST_RESTORE = "restore.kubevirt.io/lastRestoreUID"


def patches(clone: Object, machine: Object) -> list[str]:
    """The operations, one a text: new addresses and serial numbers, labels and annotations filtered, what is asked."""
    spec, inside = clone["spec"], get(machine, "spec", "template", "spec", default={})
    template = spec.get("template") or {}
    made = [
        *_addresses(get(inside, "domain", "devices", "interfaces", default=()), spec.get("newMacAddresses") or {}),
        *_firmware(get(inside, "domain", "firmware"), spec.get("newSMBiosSerial")),
        *_filtered(get(machine, "metadata", "labels"), spec.get("labelFilters"), "/metadata/labels"),
        *_filtered(get(machine, "metadata", "annotations"), spec.get("annotationFilters"), "/metadata/annotations"),
        *_filtered(get(machine, "spec", "template", "metadata", "labels"), template.get("labelFilters"),
                   "/spec/template/metadata/labels"),
        *_filtered(get(machine, "spec", "template", "metadata", "annotations"), template.get("annotationFilters"),
                   "/spec/template/metadata/annotations"),
    ]  # fmt: skip
    return [*(json.dumps(one) for one in made), *(spec.get("patches") or ())]


def _addresses(cards: Sequence[Object], fresh: Object) -> Iterator[Object]:
    """No card keeps its address: two machines with one would share it."""
    for number, card in enumerate(cards):
        path = f"/spec/template/spec/domain/devices/interfaces/{number}/macAddress"
        if fresh.get(card["name"]):
            yield {"op": "add", "path": path, "value": fresh[card["name"]]}
        elif card.get("macAddress"):
            yield {"op": "remove", "path": path}


def _firmware(firmware: Object | None, serial: str | None) -> Iterator[Object]:
    path = "/spec/template/spec/domain/firmware"
    if serial and not firmware:
        yield {"op": "add", "path": path, "value": {"serial": serial}}
        return
    if serial:
        yield {"op": "add", "path": f"{path}/serial", "value": serial}
    for key in ("serial", "uuid"):
        if (firmware or {}).get(key) and not (serial and key == "serial"):
            yield {"op": "remove", "path": f"{path}/{key}"}


def _filtered(held: Object | None, filters: Sequence[str] | None, path: str) -> Iterator[Object]:
    """Without filters everything is kept."""
    if filters is None:
        return
    for key in held or {}:
        if key != _LAST_RESTORE and not _is_kept(key, filters):
            yield {"op": "remove", "path": f"{path}/{key.replace('~', '~0').replace('/', '~1')}"}


def _is_kept(key: str, filters: Iterable[str]) -> bool:
    """Named by a filter, and by none that begins with an exclamation mark."""
    refused = [one[1:] for one in filters if one.startswith("!")]
    allowed = [one for one in filters if not one.startswith("!")]
    return any(_matches(one, key) for one in allowed) and not any(_matches(one, key) for one in refused)


def _matches(filter: str, key: str) -> bool:
    """As a regular expression somewhere in the key, as upstream does; what is none is taken literally."""
    if filter == "*":
        return True
    try:
        return re.search(filter, key) is not None
    except re.error:
        return filter in key
