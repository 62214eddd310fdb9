"""The workers of jobs: one for what moves a job on, one for attempts, which wait for providers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh import durable
from svc_executor.workflows.activity_calls import attempts_queue
from svc_executor.workflows.multimodal_job import MultimodalJobWorkflow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from temporalio.client import Client

    from mesh.clock import Clock
    from svc_executor.workflows.activities import JobActivities

DEFAULT_SLOTS = 32


@asynccontextmanager
async def job_workers(
    client: Client,
    queue: str,
    activities: JobActivities,
    *,
    clock: Clock | None = None,
    attempts: int = DEFAULT_SLOTS,
    control: int = DEFAULT_SLOTS,
) -> AsyncIterator[None]:
    """Work on jobs while entered, on `attempts` of them and on `control` other activities at once."""
    async with (
        durable.worker(
            client,
            queue,
            [MultimodalJobWorkflow],
            activities.job_activities,
            clock=clock,
            max_concurrent_activities=control,
        ),
        durable.worker(
            client,
            attempts_queue(queue),
            [],
            activities.attempt_activities,
            clock=clock,
            max_concurrent_activities=attempts,
        ),
    ):
        yield
