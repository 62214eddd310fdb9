"""A consumer and its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.integration.mesh.events.inbox.scene import Scene

if TYPE_CHECKING:
    from mesh.events.event import Codec
    from mesh.stores.postgres import Postgres
    from soma_local.testing.engines import Databases


@pytest.fixture
async def scene(postgres: Postgres, databases: Databases, codec: Codec) -> Scene:
    owner = await asyncpg.connect(databases.owner_dsn(postgres._settings))
    await owner.execute("""
        CREATE TABLE probe.applied (tenant_id text, payload bytea, number bigserial);
        CREATE TABLE probe.given_up (event_id text);
        GRANT ALL ON ALL TABLES IN SCHEMA probe TO probe;
        GRANT ALL ON ALL SEQUENCES IN SCHEMA probe TO probe;
        ALTER TABLE probe.applied ENABLE ROW LEVEL SECURITY;
        CREATE POLICY p ON probe.applied USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
    """)
    await owner.close()
    return Scene(postgres, codec)
