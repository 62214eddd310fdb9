"""Tables that are filled for the growth bench are as they were, but for their rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.bench.growth.filling import fill_without_indexes, tables

if TYPE_CHECKING:
    from soma_local.testing import engines

ROOT = Path(__file__).resolve().parents[3]
ROWS = 20
INDEXES = r"""
SELECT indrelid::regclass::text, regexp_replace(pg_get_indexdef(indexrelid), 'INDEX \S+', 'INDEX'), indisvalid
FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE c.relnamespace = $1::text::regnamespace ORDER BY 1, 2
"""
"""Names are left out: the indexes of partitions are named anew."""


@pytest.mark.parametrize("context", ["executor", "provenance"])
async def test_filled_tables_have_the_indexes_that_they_had(databases: engines.Databases, context: str) -> None:
    settings = await databases.fresh(context, [ROOT / f"svc_{context}" / "migrations"])
    owner = await asyncpg.connect(databases.owner_dsn(settings))
    try:
        before = await owner.fetch(INDEXES, context)
        found = await tables(owner, [context])
        for table in found:
            await fill_without_indexes(owner, table, ROWS, "acme")
            assert await owner.fetchval(f"SELECT count(*) FROM {table.place}") == ROWS
        assert await owner.fetch(INDEXES, context) == before
    finally:
        await owner.close()
    assert len(found) > 5
