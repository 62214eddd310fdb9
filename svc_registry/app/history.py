"""The latest changes of a catalogue, numbered, for those who follow it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_registry.domain import Capability, Ladder

HISTORY = 4096
MAX_BATCH = 256
"""Changes that a follower is given in one turn."""


@dataclass(frozen=True)
class Change:
    """One capability or one ladder as it is after revision `revision`; a deleted capability has the time of it."""

    revision: int
    capability: Capability | None = None
    ladder: Ladder | None = None


class History:
    """The last changes: at least `HISTORY` of them, at most twice as many.

    They are told by their revision, so that a follower finds its place at once, however many there are.
    """

    def __init__(self) -> None:
        self.revision = 0
        self._first = 1
        self._changes: list[Change] = []

    @property
    def floor(self) -> int:
        """The oldest revision after which all changes are still there."""
        return self._first - 1

    def add(self, *, capability: Capability | None = None, ladder: Ladder | None = None) -> None:
        """Numbers one change."""
        self.revision += 1
        self._changes.append(Change(self.revision, capability, ladder))
        if len(self._changes) >= 2 * HISTORY:
            del self._changes[:HISTORY]
            self._first += HISTORY

    def after(self, revision: int) -> Sequence[Change] | None:
        """The next changes after a revision, at most `MAX_BATCH`; None when some are no longer there."""
        if not self.floor <= revision <= self.revision:
            return None
        start = revision - self.floor
        return self._changes[start : start + MAX_BATCH]
