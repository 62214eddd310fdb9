"""Lists whose filters need no index of their own: a page scans a bounded number of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.stores.postgres import FORCE_INDEX_SCAN
from svc_provenance.adapters.postgres.filtering import where

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    Condition = tuple[object, ...]
    """A condition and its values, as `filtering.where` takes them."""

SCAN_LIMIT = 10_000
"""Rows that one page scans at most."""


@dataclass(frozen=True)
class Listing:
    """A table's rows by tenant in the order of an index, the highest of `order_by` first.

    `columns` are selected, the columns of `order_by` among them.
    """

    table: str
    columns: str
    order_by: Sequence[str]
    scan_limit: int = SCAN_LIMIT

    async def page(
        self,
        connection: asyncpg.Connection,
        tenant_id: str,
        bounds: Sequence[Condition],
        filters: Sequence[Condition],
        limit: int,
    ) -> tuple[Sequence[asyncpg.Record], asyncpg.Record | None]:
        """Returns at most `limit` rows, and the one behind which the next page begins; None at the end.

        An index serves `bounds`; `filters` are applied row by row. Once `scan_limit` rows were scanned, the page ends
        there, with however many rows it has. The planner settings of the transaction then suit no other statement.
        """
        bound, values = where(3, *bounds)
        matching, filter_values = where(3 + len(values), *filters)
        statement = self._statement(bound, matching)
        # The planner would prefer to sort all of a tenant's rows over scanning `scan_limit` of them by an index.
        await connection.execute(FORCE_INDEX_SCAN)
        rows = await connection.fetch(statement, tenant_id, limit + 1, *values, *filter_values)
        if len(rows) > limit:
            return rows[:limit], rows[limit - 1]
        last = rows[-1] if rows and rows[-1]["position"] == self.scan_limit else None
        return [row for row in rows if row["matches"]], last

    def _statement(self, bound: str, matching: str) -> str:
        """Returns the statement. It selects the last row scanned even without a match: the next page follows it."""
        scanned, filtered = (
            ", ".join(f"{name}{column} DESC" for column in self.order_by) for name in ("", "filtered.")
        )
        return f"""
SELECT {self.columns}, position, matches FROM (
    SELECT *, true{matching} AS matches FROM (
        SELECT *, row_number() OVER (ORDER BY {scanned}) AS position FROM {self.table}
        WHERE tenant_id = $1{bound} ORDER BY {scanned} LIMIT {self.scan_limit}
    ) AS scanned
) AS filtered WHERE matches OR position = {self.scan_limit} ORDER BY {filtered} LIMIT $2
"""  # noqa: S608
