"""Lists whose filters need no index of their own: a page looks at a bounded number of entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.stores.postgres import INDEX_ONLY
from svc_provenance.adapters.postgres.filtering import where

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    Condition = tuple[object, ...]
    """A condition and its values, as `filtering.where` takes them."""

MAX_SCANNED = 10_000
"""Entries that one page looks at."""


@dataclass(frozen=True)
class Listing:
    """A table's entries by tenant in the order of an index, the highest of `order` first.

    `columns` are what is read of an entry, the columns of `order` among them.
    """

    table: str
    columns: str
    order: Sequence[str]
    most: int = MAX_SCANNED

    async def page(
        self,
        connection: asyncpg.Connection,
        tenant_id: str,
        bounds: Sequence[Condition],
        filters: Sequence[Condition],
        limit: int,
    ) -> tuple[Sequence[asyncpg.Record], asyncpg.Record | None]:
        """At most `limit` entries, and the one that the next page goes on after; None at the end.

        An index serves `bounds`; `filters` are checked entry by entry. Once `most` entries were read, the page ends
        there, with however many entries it has. The transaction is left with settings of the planner that suit no
        other statement.
        """
        bound, values = where(3, *bounds)
        wanted, filter_values = where(3 + len(values), *filters)
        statement = self._statement(bound, wanted)
        # To read and sort all of a tenant's entries seems cheaper than to walk over `most` of them by an index.
        await connection.execute(INDEX_ONLY)
        rows = await connection.fetch(statement, tenant_id, limit + 1, *values, *filter_values)
        if len(rows) > limit:
            return rows[:limit], rows[limit - 1]
        last = rows[-1] if rows and rows[-1]["place"] == self.most else None
        return [row for row in rows if row["wanted"]], last

    def _statement(self, bound: str, wanted: str) -> str:
        """The last entry that is looked at is read whatever the filters say: the next page goes on after it."""
        scanned, filtered = (", ".join(f"{name}{column} DESC" for column in self.order) for name in ("", "filtered."))
        return f"""
SELECT {self.columns}, place, wanted FROM (
    SELECT *, true{wanted} AS wanted FROM (
        SELECT *, row_number() OVER (ORDER BY {scanned}) AS place FROM {self.table}
        WHERE tenant_id = $1{bound} ORDER BY {scanned} LIMIT {self.most}
    ) AS scanned
) AS filtered WHERE wanted OR place = {self.most} ORDER BY {filtered} LIMIT $2
"""  # noqa: S608
