"""A database that holds many assets of many tenants."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.stores.postgres import SYSTEM, Postgres
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from soma_local.testing import engines

ROWS = 200_000
_FILL = """
INSERT INTO multimodal_assets
    (asset_id, tenant_id, asset_type, format, media_type, filename, size_bytes, checksum, classification, status,
     storage_path, bytes_erased, metadata, parent_id, replaces_id, origin, job_id, created_by, created_at, deleted_at,
     sweep_after, holders)
SELECT gen_random_uuid(), 't' || i % 50, CASE WHEN i % 100 = 0 THEN 'audio' ELSE 'image' END, 'png', 'image/png', 'a',
       1, 'sum' || i, 'internal', status, 'path', status = 'tombstoned', '{}', '', '', '{}', 'job' || i / 10, 'alice',
       now(), CASE WHEN status = 'tombstoned' THEN now() END, now() + interval '9 years',
       CASE WHEN status = 'ready' THEN 1 ELSE 0 END
FROM generate_series(1, $1) AS i,
     LATERAL (SELECT CASE i % 20 WHEN 0 THEN 'tombstoned' WHEN 1 THEN 'pending' ELSE 'ready' END AS status) AS s
"""
_HOLDERS = """
INSERT INTO asset_holders (tenant_id, asset_id, holder, subject)
SELECT tenant_id, asset_id, job_id, 'alice' FROM multimodal_assets WHERE status = 'ready'
"""
_REQUESTS = """
INSERT INTO upload_requests (tenant_id, request_id, asset_id, checksum, holder)
SELECT tenant_id, checksum, asset_id, checksum, job_id FROM multimodal_assets WHERE status <> 'pending'
"""


class Recording(Postgres):
    """Notes every statement that is executed, with its arguments."""

    statements: list[tuple[str, tuple[object, ...]]]

    @asynccontextmanager
    async def transaction(self, tenant_id: str | None = None) -> AsyncIterator[asyncpg.Connection]:
        def note(query: asyncpg.connection.LoggedQuery) -> None:
            self.statements.append((query.query, tuple(query.args or ())))

        async with super().transaction(tenant_id) as connection:
            with connection.query_logger(note):
                yield connection


@pytest.fixture(scope="module")
async def grown(databases: engines.Databases) -> AsyncIterator[Recording]:
    """A filled database, with statistics."""
    settings = await databases.fresh("assets", [ROOT / "svc_assets" / "migrations"])
    owner = await asyncpg.connect(databases.owner_dsn(settings))
    await owner.execute("ALTER TABLE assets.asset_holders DISABLE TRIGGER USER")
    async with Recording.open(settings) as opened:
        assert isinstance(opened, Recording)
        opened.statements = []
        async with Postgres.transaction(opened, SYSTEM) as connection:
            await connection.execute(_FILL, ROWS, timeout=100)
            for statement in (_HOLDERS, _REQUESTS):
                await connection.execute(statement, timeout=100)
        await owner.execute("ALTER TABLE assets.asset_holders ENABLE TRIGGER USER")
        async with Postgres.transaction(opened, SYSTEM) as connection:
            for table in ("multimodal_assets", "asset_holders", "upload_requests"):
                await connection.execute(f"ANALYZE {table}", timeout=100)
        yield opened
    await owner.close()
