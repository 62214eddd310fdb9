"""Executors whose jobs run on the real Temporal server, with peers in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from mesh import durable
from mesh.ids import SystemIds
from mesh.settings import BlobSettings
from mesh.stores import blobs
from svc_executor.adapters.temporal import TemporalRunner
from svc_executor.workflows.activities import JobActivities
from svc_executor.workflows.workers import job_workers
from tests.in_memory.executor.peers import LocalTokens
from tests.unit.executor.rig import Rig

if TYPE_CHECKING:
    from temporalio.client import Client

    from mesh.settings import TemporalSettings

Run = Callable[[Rig], Awaitable[Rig]]


@pytest.fixture
async def temporal_client(temporal_settings: TemporalSettings) -> AsyncIterator[Client]:
    async with blobs.open(BlobSettings(url="memory://")) as store, durable.client(temporal_settings, store) as client:
        yield client


@pytest.fixture
async def work_on(temporal_client: Client) -> AsyncIterator[Run]:
    """Gives a rig a worker and a queue of its own; its jobs then run by themselves."""
    async with AsyncExitStack() as stack:

        async def start(rig: Rig) -> Rig:
            queue = f"jobs-{SystemIds().new()}"
            rig.runner = TemporalRunner(temporal_client, queue)
            activities = JobActivities(rig.use_cases(), rig.store, LocalTokens())
            await stack.enter_async_context(job_workers(temporal_client, queue, activities))
            return rig

        yield start
