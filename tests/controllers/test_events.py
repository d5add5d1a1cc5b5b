"""Events end."""

from __future__ import annotations

from vmpod.base.clock import rfc3339
from vmpod.controllers import events as controller
from vmpod.kinds import EVENT
from vmpod.testing.world import World


def test_an_event_ends_an_hour_after_it_was_last_seen() -> None:
    world = World()
    event = {"metadata": {"name": "e", "namespace": "default"}, "involvedObject": {}, "lastTimestamp": rfc3339(world.now)}
    world.put(EVENT, event)
    world.pass_time(1800)
    plan = world.turn(controller, ("default", "e"))
    assert plan is not None
    assert (plan.actions, plan.again_in) == ((), 1800)
    world.pass_time(1801)
    world.settle({controller: {}})
    assert world.list(EVENT) == []
