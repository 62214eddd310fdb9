"""Every store of the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.events.outbox import Outbox
from mesh.stores.postgres import Postgres
from mesh.testing.audit import auditor
from svc_registry.adapters.postgres import PostgresStore
from svc_registry.events.published import capability_changed
from tests.contract.registry.samples import QUOTAS
from tests.in_memory.registry import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mesh.settings import PostgresSettings
    from tests.contract.registry.samples import BothStore


@pytest.fixture
async def postgres_store(
    database: Callable[[str], Awaitable[PostgresSettings]],
) -> AsyncIterator[PostgresStore]:
    async with Postgres.open(await database("registry")) as postgres:
        yield PostgresStore(postgres, Outbox(), auditor("registry"), capability_changed, QUOTAS)


@pytest.fixture
def memory_store() -> MemoryStore:
    return MemoryStore(QUOTAS)


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> BothStore:
    found: BothStore = request.getfixturevalue(f"{request.param}_store")
    return found
