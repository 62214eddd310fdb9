"""Where each group stands in each stream, kept where it is not lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mesh.stores.postgres import SYSTEM

if TYPE_CHECKING:
    from mesh.stores.postgres import Postgres

_LOAD = "SELECT epoch, position FROM stream_cursors WHERE consumer_group = $1 AND stream = $2"
_SAVE = """
INSERT INTO stream_cursors (consumer_group, stream, epoch, position) VALUES ($1, $2, $3, $4)
ON CONFLICT (consumer_group, stream)
DO UPDATE SET epoch = excluded.epoch, position = excluded.position, updated_at = clock_timestamp()
"""


@dataclass(frozen=True)
class Cursor:
    """Everything up to `position` is done. Positions of another `epoch` say nothing."""

    epoch: str
    position: str


class Cursors(Protocol):
    """Keeps cursors."""

    async def load(self, group: str, stream: str) -> Cursor | None:
        """The cursor of a group in a stream, None when it never read it."""

    async def save(self, group: str, stream: str, cursor: Cursor) -> None:
        """Keep the cursor."""


class PostgresCursors:
    """Cursors in the schema of the context whose group it is."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def load(self, group: str, stream: str) -> Cursor | None:
        """The cursor of a group in a stream, None when it never read it."""
        async with self._postgres.transaction(SYSTEM) as connection:
            row = await connection.fetchrow(_LOAD, group, stream)
        return None if row is None else Cursor(row["epoch"], row["position"])

    async def save(self, group: str, stream: str, cursor: Cursor) -> None:
        """Keep the cursor."""
        async with self._postgres.transaction(SYSTEM) as connection:
            await connection.execute(_SAVE, group, stream, cursor.epoch, cursor.position)


class MemoryCursors:
    """Cursors in a dictionary: for groups that may start over."""

    def __init__(self) -> None:
        self._cursors: dict[tuple[str, str], Cursor] = {}

    async def load(self, group: str, stream: str) -> Cursor | None:
        """The cursor of a group in a stream, None when it never read it."""
        return self._cursors.get((group, stream))

    async def save(self, group: str, stream: str, cursor: Cursor) -> None:
        """Keep the cursor."""
        self._cursors[group, stream] = cursor
