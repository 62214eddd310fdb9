"""The latest changes of a catalog, each with its revision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_registry.domain import Capability, Ladder

MIN_CHANGES = 4096
MAX_BATCH = 256
"""Most changes that a subscriber reads at once."""


@dataclass(frozen=True)
class Change:
    """One capability or one ladder as of `revision`; `deleted_at` is set in a deleted capability."""

    revision: int
    capability: Capability | None = None
    ladder: Ladder | None = None


class History:
    """A buffer of the last changes: of the latest `MIN_CHANGES` at least, of twice as many at most.

    A revision is found by its offset, in constant time.
    """

    def __init__(self) -> None:
        self.revision = 0
        self._first_revision = 1
        self._changes: list[Change] = []

    @property
    def oldest_revision(self) -> int:
        """The oldest revision after which the buffer has all changes."""
        return self._first_revision - 1

    def add(self, *, capability: Capability | None = None, ladder: Ladder | None = None) -> None:
        """Appends a change under the next revision."""
        self.revision += 1
        self._changes.append(Change(self.revision, capability, ladder))
        if len(self._changes) >= 2 * MIN_CHANGES:
            del self._changes[:MIN_CHANGES]
            self._first_revision += MIN_CHANGES

    def changes_after(self, revision: int) -> Sequence[Change] | None:
        """Returns the next changes after a revision, `MAX_BATCH` at most; None when some have left the buffer."""
        if not self.oldest_revision <= revision <= self.revision:
            return None
        start = revision - self.oldest_revision
        return self._changes[start : start + MAX_BATCH]
