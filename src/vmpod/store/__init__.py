"""Our database: an append-only log of objects whose row number is the resourceVersion."""

from vmpod.store.compact import Retention
from vmpod.store.database import Store
from vmpod.store.record import Compacted, Conflict, Event, Exists, Missing, Record
from vmpod.store.watch import Subscription

__all__ = [
    "Compacted", "Conflict", "Event", "Exists", "Missing", "Record", "Retention", "Store", "Subscription",
]  # fmt: skip
