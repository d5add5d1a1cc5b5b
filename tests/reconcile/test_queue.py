"""The queue: dedupe, one worker per key, delays, back-off."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from vmpod.reconcile.queue import Key, Queue
from vmpod.testing import clock

A, B = ("d", "a"), ("d", "b")


def test_a_key_waits_once() -> None:
    async def scene() -> None:
        queue = Queue()
        for key in (A, B, A):
            queue.add(key)
        assert [await queue.take(), await queue.take()] == [A, B]
        queue.done(A)
        queue.done(B)
        assert queue.is_idle

    clock.run(scene())


def test_asked_for_while_busy_it_comes_again_afterwards() -> None:
    async def scene() -> None:
        queue = Queue()
        queue.add(A)
        await queue.take()
        queue.add(A)
        queue.add(A)
        queue.add(B)
        assert await queue.take() == B, "not A, a worker has it"
        queue.done(A)
        assert await queue.take() == A
        assert not queue.is_idle

    clock.run(scene())


def test_the_earliest_delay_counts() -> None:
    async def scene() -> None:
        queue, loop = Queue(), asyncio.get_running_loop()
        for after_s in (30, 10, 20):
            queue.add(A, after_s)
        assert queue.is_idle
        assert await queue.take() == A
        assert loop.time() == 10
        queue.done(A)
        queue.add(B, 5)
        queue.close()
        await asyncio.sleep(60)
        assert queue.is_idle

    clock.run(scene())


def test_pauses_double_up_to_a_minute_and_start_anew() -> None:
    async def scene() -> None:
        queue = Queue()
        pauses = [queue.add_after_failure(A) for _ in range(14)]
        assert pauses[:4] == [0.05, 0.1, 0.2, 0.4] and pauses[-1] == 60
        assert queue.add_after_failure(B) == 0.05
        queue.forget_failures(A)
        assert queue.add_after_failure(A) == 0.05
        queue.close()

    clock.run(scene())


@settings(max_examples=50, deadline=None)
@given(asked=st.lists(st.tuples(st.sampled_from([A, B]), st.sampled_from([0, 0.5, 1])), max_size=30))
def test_nothing_is_lost_and_no_key_has_two_workers(asked: list[tuple[Key, float]]) -> None:
    async def scene() -> None:
        queue = Queue()
        busy: set[Key] = set()
        last: dict[Key, float] = {}
        loop = asyncio.get_running_loop()

        async def work() -> None:
            while True:
                key = await queue.take()
                assert key not in busy
                busy.add(key)
                last[key] = loop.time()
                await asyncio.sleep(0.3)
                busy.discard(key)
                queue.done(key)

        workers = [asyncio.create_task(work()) for _ in range(3)]
        wanted: dict[Key, float] = {}
        for key, after_s in asked:
            queue.add(key, after_s)
            wanted[key] = max(wanted.get(key, 0), loop.time())
            await asyncio.sleep(0.1)
        await asyncio.sleep(10)
        assert queue.is_idle and not any(worker.done() for worker in workers)
        for key, when in wanted.items():
            assert last[key] >= when, "the last wish was met after it was made"
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    clock.run(scene())
