"""Whether a machine is on its way to another launcher, as the status of its instance tells."""

from __future__ import annotations

from vmpod.kinds.parts.reading import dig
from vmpod.model.meta import Object


def is_migrating(vmi: Object | None) -> bool:
    """Whether a migration has begun and has neither completed nor failed."""
    state = dig(vmi, "status", "migrationState")
    return bool(state) and not (state.get("completed") or state.get("failed"))
