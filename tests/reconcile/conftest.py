"""No task may outlive a test that runs in real time; those in virtual time check it themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from vmpod.testing import leaks


@pytest.fixture(autouse=True)
async def _no_leaks() -> AsyncIterator[None]:
    yield
    await leaks.assert_no_tasks()
