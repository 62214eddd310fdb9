"""Variables that have another name now. A program that is given the old one does not start: its value would be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

RENAMED = {
    "SA01_BUS_LATE_S": "SA01_BUS_MAX_LAG_S",
    "SA01_DEAD_LETTERS_UNDECIDED_DAYS": "SA01_DEAD_LETTERS_UNSETTLED_DAYS",
    "SA01_EXECUTOR_START_WAITING_S": "SA01_EXECUTOR_START_AFTER_S",
    "SA01_EXECUTOR_SWEEP_S": "SA01_EXECUTOR_SWEEP_INTERVAL_S",
    "SA01_RECEIPTS_FIND_EVERY_S": "SA01_RECEIPTS_POLL_INTERVAL_S",
    "SA01_RECEIPTS_SHED_ABOVE": "SA01_RECEIPTS_COMPACT_ABOVE",
}
"""The new name by the old one. A context's own form (`SA01_<CONTEXT>_…`) is renamed alike."""


def renamed(names: Iterable[str], context: str) -> dict[str, str]:
    """The variables among `names` that have another name now, with that name."""
    own = f"SA01_{context.upper()}_"
    found = {}
    for name in names:
        plain = name.replace(own, "SA01_", 1) if name.startswith(own) and name not in RENAMED else name
        if plain in RENAMED:
            found[name] = RENAMED[plain] if plain == name else RENAMED[plain].replace("SA01_", own, 1)
    return found
