"""A chunk of retention reads what is due, not what tenants with longer terms keep, nor what later chunks remove."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from svc_provenance.adapters import letter_claims, retention
from tests.integration.mesh.test_resending import rows_read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.testing.engines import Databases

FOLDER = Path(__file__).parents[3] / "svc_provenance" / "migrations"
_FILL = """
CREATE TEMP TABLE old AS
SELECT n, CASE WHEN n % 500 = 0 THEN 'brief' ELSE 'long' END AS tenant_id, now() - n * interval '1 minute' AS at
FROM generate_series(1, 10000) AS n;
INSERT INTO asset_provenance (asset_id, tenant_id, asset_type, deleted_at)
SELECT uuidv7(), tenant_id, 'image', at FROM old;
INSERT INTO dlq_messages (
    dlq_id, tenant_id, topic, key, event_id, event_type, detail, attempts, value, cause, state, updated_at, created_at)
SELECT uuidv7(), tenant_id, 't', n::text, n::text, 'noted', '', 1, '\\x01', 'failed', 'resolved', at, at FROM old;
INSERT INTO trace_facts (tenant_id, job_id, month, kind, fact_id, occurred_at, summary, document)
SELECT 'tenant-' || n % 20, 'job-' || n, '1970-01-01', 'asset', n::text, at, '{}', '\\x01' FROM old;
ANALYZE asset_provenance, dlq_messages, trace_facts;
"""


@pytest.fixture
async def kept(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    config = await databases.fresh("provenance", [FOLDER])
    connection = await asyncpg.connect(databases.owner_dsn(config), server_settings={"search_path": "provenance"})
    await connection.execute("SET session_replication_role = replica; SET soma.tenant_id = '*'")
    await connection.execute(_FILL)
    await connection.execute("SET ROLE provenance")
    # As it is with tables of which a chunk is a small part.
    await connection.execute("SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off")
    yield connection
    await connection.close()


@pytest.mark.parametrize(
    ("chunk", "most"),
    [(retention._PROVENANCE, 100), (retention._SETTLED, 100), (retention._TRACES, 1_500)],
    ids=["provenance", "letters", "traces"],
)
async def test_a_chunk_reads_what_is_due(kept: asyncpg.Connection, chunk: str, most: int) -> None:
    read = await rows_read(kept, chunk, "NULL", "'{long}'", "now()", 100, "false")
    assert 20 <= read <= most


async def test_counting_a_state_that_no_letter_has_reads_none(kept: asyncpg.Connection) -> None:
    await kept.execute("SET enable_seqscan = on")
    assert await rows_read(kept, letter_claims._COUNTS, "ARRAY['waiting', 'expired']", "100") <= 10
