"""Events about pods, told in order and beside the work: no container waits for its Event to be stored."""

from __future__ import annotations

import asyncio

from vmpod.base.tasks import Tasks
from vmpod.model.meta import Object
from vmpod.reconcile.actions import Note
from vmpod.reconcile.events import Recorder


class Notices:
    """A queue before the recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._queue: asyncio.Queue[Note] = asyncio.Queue()
        self._tasks = Tasks()

    def start(self) -> None:
        self._tasks.start(self._tell(), "pod events")

    async def stop(self) -> None:
        """Tell what is left, then end."""
        try:
            await asyncio.wait_for(self._queue.join(), 2)
        except TimeoutError:
            pass
        await self._tasks.stop()

    def normal(self, pod: Object, reason: str, message: str) -> None:
        self._queue.put_nowait(Note("Normal", reason, message, pod))

    def warn(self, pod: Object, reason: str, message: str) -> None:
        self._queue.put_nowait(Note("Warning", reason, message, pod))

    async def _tell(self) -> None:
        while True:
            note = await self._queue.get()
            try:
                await self._recorder.record(note)
            finally:
                self._queue.task_done()
