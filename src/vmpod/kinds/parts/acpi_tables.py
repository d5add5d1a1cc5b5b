"""Tables that a machine's firmware shows to its system, out of Secrets: the licences of Windows (SLIC, MSDM)."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.parts.reading import dig, entries, text
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, wrong

FILES = {"slicNameRef": "slic.bin", "msdmNameRef": "msdm.bin"}
"""Field → the key of the Secret that holds the table (KubeVirt's names)"""


def table_volumes(spec: Object) -> dict[str, str]:
    """The volumes that a machine spec names as tables → the key of each."""
    said = dig(spec, "domain", "firmware", "acpi")
    return {text(said, field): key for field, key in FILES.items() if text(said, field)}


def table_errors(spec: Object, path: str) -> Iterator[FieldError]:
    """KubeVirt's rules, with its texts and its path."""
    said, here = dig(spec, "domain", "firmware").get("acpi"), f"{path}.acpi"
    if not isinstance(said, dict):
        return
    if not any(text(said, field) for field in FILES):
        yield wrong(here, said, "ACPI was set but no SLIC nor MSDM volume reference was set")
    volumes = {text(one, "name"): one for one in entries(spec, "volumes")}
    for field in FILES:
        name = text(said, field)
        if name and name not in volumes:
            yield wrong(f"{here}.{field}", name, f"{here} does not have a matching Volume.")
        elif name and volumes[name].get("secret") is None:
            yield wrong(f"{here}.{field}", name, f"{here} refers to Volume of unsupported type.")
