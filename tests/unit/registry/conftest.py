"""A registry in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.testing import FakeClock
from svc_registry.app import Catalog
from tests.in_memory.registry import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def catalog(store: MemoryStore, clock: FakeClock) -> AsyncIterator[Catalog]:
    async with Catalog(store, store, "e", clock).running() as running:
        yield running
