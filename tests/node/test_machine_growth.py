"""What is plugged into a running machine, and what is told of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.model import conditions
from vmpod.model.meta import Object
from vmpod.node.machine_growth import full_sockets, missing
from vmpod.node.status.machine import Observed, Size, status

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def slots(sockets: int, cores: int, threads: int, plugged: int) -> list[dict[str, Any]]:
    """What query-hotpluggable-cpus says, the last place first, as QEMU does."""
    places = [{"socket-id": s, "core-id": c, "thread-id": t, "node-id": 0}
              for s in range(sockets) for c in range(cores) for t in range(threads)]  # fmt: skip
    found: list[dict[str, Any]] = [{"type": "max-x86_64-cpu", "props": place} for place in places]
    for one in found[:plugged]:
        one["qom-path"] = "/machine/x"
    return found[::-1]


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.data())
def test_whole_sockets_are_plugged_in(most: int, cores: int, threads: int, data: st.DataObject) -> None:
    has, wanted = data.draw(st.integers(1, most)), data.draw(st.integers(1, most))
    present = slots(most, cores, threads, has * cores * threads)
    assert full_sockets(present) == has
    chosen = missing(present, wanted)
    assert len(chosen) == max(0, wanted - has) * cores * threads
    assert chosen == sorted(chosen, key=lambda one: sorted(one["props"].items()))
    for one in present:
        if one in chosen:
            one["qom-path"] = "/machine/y"
    assert full_sockets(present) == max(has, wanted) and not missing(present, wanted)


def vmi(sockets: int, guest: str) -> Object:
    domain = {"cpu": {"sockets": sockets, "cores": 1, "threads": 1}, "memory": {"guest": guest}}
    return {"metadata": {"name": "m"}, "spec": {"domain": domain, "volumes": []},
            "status": {"phase": "Running", "memory": {"guestAtBoot": "64Mi"}}}  # fmt: skip


@pytest.mark.parametrize(("wanted", "seen", "cpu", "memory"), [
    (vmi(1, "64Mi"), Observed(size=Size(1, 0)), None, None),
    (vmi(2, "64Mi"), Observed(size=Size(1, 0)), ("True", "1 of 2 CPU sockets are plugged in"), None),
    (vmi(2, "64Mi"), Observed(size=Size(2, 0)), None, None),
    (vmi(2, "64Mi"), Observed(size=Size(1, 0), cpu_trouble="no"), ("False", "no"), None),
    (vmi(1, "96Mi"), Observed(size=Size(1, 0)), None, ("True", "the guest has taken 64Mi of 96Mi of memory")),
    (vmi(1, "96Mi"), Observed(size=Size(1, 0, has_driver=True)), None, ("True", "the guest has taken 64Mi of 96Mi of memory")),
    (vmi(1, "96Mi"), Observed(size=Size(1, 0, has_driver=False)), None,
     ("True", "the guest has taken 64Mi of 96Mi of memory; it has no virtio_mem driver that would take it")),
    (vmi(1, "96Mi"), Observed(size=Size(1, 32 << 20)), None, None),
    (vmi(1, "96Mi"), Observed(size=Size(1, 0), memory_trouble="no room"), None, ("False", "no room")),
    (vmi(1, "64Mi"), Observed(size=Size()), None, None),
])  # fmt: skip
def test_what_is_under_way_is_told(wanted: Object, seen: Observed, cpu: Any, memory: Any) -> None:
    running = Observed(run_state="running", size=seen.size, cpu_trouble=seen.cpu_trouble, memory_trouble=seen.memory_trouble)
    found = status(wanted, None, running, emulated="", now=NOW)
    assert found is not None
    for type, expected in (("HotVCPUChange", cpu), ("HotMemoryChange", memory)):
        told = conditions.find(found["conditions"], type)
        assert (told and (told["status"], told["message"])) == expected
    assert found["currentCPUTopology"]["sockets"] == (seen.size.sockets or 1)
    assert found["memory"]["guestRequested"] == wanted["spec"]["domain"]["memory"]["guest"]
