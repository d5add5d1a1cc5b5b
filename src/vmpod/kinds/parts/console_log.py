"""The log of a guest's serial console: as with KubeVirt it is a container of the launcher pod, `guest-console-log`.

Nothing runs for it: QEMU writes the log, and the container is there to be named.
"""

from __future__ import annotations

from vmpod.kinds.parts.reading import dig, entries, text
from vmpod.model.meta import Object

CONTAINER = "guest-console-log"


def is_kept(spec: Object) -> bool:
    """Whether what a machine spec's guest writes to its serial console is kept."""
    devices = dig(spec, "domain", "devices")
    return devices.get("autoattachSerialConsole") is not False and devices.get("logSerialConsole") is not False


def is_it(container: Object) -> bool:
    """Whether a container of a launcher pod is the one that is not run."""
    return text(container, "name") == CONTAINER


def is_listed(pod: Object) -> bool:
    """Whether a launcher pod has the log."""
    return any(is_it(one) for one in entries(pod.get("spec"), "initContainers"))
