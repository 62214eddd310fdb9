"""A registry in Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.events.outbox import Outbox
from mesh.stores.postgres import Postgres
from mesh.testing.audit import auditor
from svc_registry.adapters.postgres import PostgresStore
from svc_registry.domain import Capability, Kind, Modality
from svc_registry.events.published import capability_changed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.settings import PostgresSettings
    from tests.conftest import Database


@pytest.fixture
async def settings(database: Database) -> PostgresSettings:
    return await database("registry")


@pytest.fixture
async def postgres(settings: PostgresSettings) -> AsyncIterator[Postgres]:
    async with Postgres.open(settings) as opened:
        yield opened


@pytest.fixture
def store(postgres: Postgres) -> PostgresStore:
    return PostgresStore(postgres, Outbox(), auditor("registry"), capability_changed)


@pytest.fixture
def d2() -> Capability:
    return Capability("d2", "local", Kind.TOOL, (Modality.DIAGRAM,), ("image_diagram",))
