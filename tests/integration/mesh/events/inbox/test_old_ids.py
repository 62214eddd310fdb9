"""Ids of events that were handled long ago are forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg

from mesh.events import inbox
from tests.integration.mesh.events.test_resending import rows_read

if TYPE_CHECKING:
    from mesh.stores.postgres import Postgres
    from soma_local.testing.engines import Databases

_FILL = """
INSERT INTO inbox SELECT 'group', n::text, now() - CASE WHEN n <= 10 THEN interval '8 days' ELSE interval '1 day' END
FROM generate_series(1, 20000) AS n
"""
_KEEP = timedelta(days=7)


async def test_no_id_is_read_that_is_not_forgotten(postgres: Postgres, databases: Databases) -> None:
    connection = await asyncpg.connect(databases.owner_dsn(postgres._settings))
    try:
        await connection.execute("SET search_path = probe")
        await connection.execute(_FILL)
        await connection.execute("ANALYZE inbox")
        assert await connection.execute(inbox.DELETE_OLD_IDS, _KEEP, 5) == "DELETE 5"
        assert await rows_read(connection, inbox.DELETE_OLD_IDS, "interval '7 days'", 500) <= 20
        assert await connection.execute(inbox.DELETE_OLD_IDS, _KEEP, 500) == "DELETE 0"
    finally:
        await connection.close()
