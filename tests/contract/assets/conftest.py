"""The stores that keep what `svc_assets.app.ports` promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.events.outbox import Outbox
from mesh.ids import SystemIds
from mesh.settings import BlobSettings
from mesh.stores import blobs as blob_store
from mesh.stores.postgres import Postgres
from mesh.testing import FakeClock
from mesh.testing.audit import auditor
from svc_assets.adapters.blobs import AssetBlobStore
from svc_assets.adapters.postgres import PostgresAssetStore, PostgresSweepState
from svc_assets.events.published import AssetEvents
from tests.contract.assets.store import Store
from tests.in_memory.assets import MemoryAssetStore, MemoryBlobStore, MemorySweepState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from mesh.settings import PostgresSettings
    from mesh.stores.blobs import Blobs

BACKENDS = ["memory", "postgres_and_folder", "postgres_and_objects"]


@pytest.fixture
async def postgres(database: Callable[[str], Awaitable[PostgresSettings]]) -> AsyncIterator[Postgres]:
    async with Postgres.open(await database("assets")) as opened:
        yield opened


@pytest.fixture
def memory(tmp_path: Path) -> Store:
    clock = now()
    return Store(MemoryAssetStore(), MemoryBlobStore(clock), MemorySweepState(), clock, tmp_path)


@pytest.fixture
async def postgres_and_folder(postgres: Postgres, tmp_path: Path) -> AsyncIterator[Store]:
    async with blob_store.open(BlobSettings(url=(tmp_path / "blobs").as_uri())) as blobs:
        yield in_postgres(postgres, blobs, tmp_path)


@pytest.fixture
async def postgres_and_objects(postgres: Postgres, tmp_path: Path) -> AsyncIterator[Store]:
    async with blob_store.open(BlobSettings(url="memory:///")) as blobs:
        yield in_postgres(postgres, blobs, tmp_path)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    """The store that the test's parameter names."""
    found: Store = request.getfixturevalue(getattr(request, "param", "postgres_and_folder"))
    return found


def in_postgres(postgres: Postgres, blobs: Blobs, folder: Path) -> Store:
    rows = PostgresAssetStore(postgres, Outbox(), auditor("assets"), AssetEvents(SystemIds()))
    return Store(rows, AssetBlobStore(blobs), PostgresSweepState(postgres), now(), folder)


def now() -> FakeClock:
    """A clock that starts now, as blob stores have clocks of their own."""
    return FakeClock(SystemClock().now())
