"""Connects to Temporal and runs workers that outlive its outages."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import temporalio.client
import temporalio.converter
import temporalio.service
from temporalio.service import RPCError
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from mesh.clock import SystemClock
from mesh.durable.claim_check import ClaimCheck
from mesh.durable.propagation import ContextPropagation
from mesh.lifecycle import background

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from mesh.clock import Clock
    from mesh.durable.claim_check import BlobStore
    from mesh.settings import TemporalSettings

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_GRACE = timedelta(seconds=10)
_SHUTDOWN_MARGIN = timedelta(seconds=5)
_HEARTBEAT_THROTTLE = timedelta(seconds=5)
"""How often heartbeats are sent at most: the SDK's default leaves a fifth of the timeout for a stall."""
_MODULES_OUTSIDE_THE_SANDBOX = ("mesh", "google.protobuf", "pydantic", "pydantic_core")
_log = logging.getLogger(__name__)


@asynccontextmanager
async def client(settings: TemporalSettings, blobs: BlobStore | None = None) -> AsyncIterator[temporalio.client.Client]:
    """A client that connects with its first call, so that a service starts while Temporal is away.

    Calls raise `temporalio.service.RPCError` while it is. Payloads above 64 KiB go to `blobs`, where there are any that
    large; the request that is being served travels along.
    """
    claims = ClaimCheck(blobs) if blobs is not None else None
    converter = dataclasses.replace(temporalio.converter.default(), payload_codec=claims)
    yield await temporalio.client.Client.connect(
        settings.address,
        namespace=settings.namespace,
        data_converter=converter,
        interceptors=[ContextPropagation()],
        lazy=True,
    )


@asynccontextmanager
async def worker(
    client: temporalio.client.Client,
    task_queue: str,
    workflows: Sequence[type],
    activities: Sequence[Callable[..., object]],
    *,
    clock: Clock | None = None,
    max_concurrent_activities: int = 32,
    grace: timedelta = _GRACE,
    sticky_timeout: timedelta = timedelta(seconds=2),
    outside_the_sandbox: Sequence[str] = (),
) -> AsyncIterator[None]:
    """Work on a task queue while entered, as soon as and whenever Temporal answers.

    At the end running activities get `grace` to finish, then they are cancelled. `outside_the_sandbox` names modules
    that workflow code imports and that are known to be deterministic.
    """
    passed = SandboxRestrictions.default.with_passthrough_modules(*_MODULES_OUTSIDE_THE_SANDBOX, *outside_the_sandbox)

    def build(connected: temporalio.client.Client) -> Worker:
        return Worker(
            connected,
            task_queue=task_queue,
            workflows=workflows,
            activities=activities,
            workflow_runner=SandboxedWorkflowRunner(restrictions=passed),
            max_concurrent_activities=max_concurrent_activities,
            graceful_shutdown_timeout=grace,
            sticky_queue_schedule_to_start_timeout=sticky_timeout,
            max_heartbeat_throttle_interval=_HEARTBEAT_THROTTLE,
        )

    worker_loop = _WorkerLoop(client, build, task_queue, clock or SystemClock())
    async with background(worker_loop.run, f"worker.{task_queue}", clock=clock):
        try:
            yield
        finally:
            await worker_loop.end(grace)


class _WorkerLoop:
    """One worker after the other, each until it fails."""

    def __init__(
        self,
        client: temporalio.client.Client,
        build: Callable[[temporalio.client.Client], Worker],
        task_queue: str,
        clock: Clock,
    ) -> None:
        self._client = client
        self._build = build
        self._task_queue = task_queue
        self._clock = clock
        self._current: Worker | None = None

    async def run(self) -> None:
        """Work for ever."""
        pause = _FIRST_PAUSE_S
        while True:
            started = self._clock.monotonic()
            try:
                self._current = self._build(await _connected(self._client))
                await self._current.run()
            except (RPCError, RuntimeError) as error:  # the bridge reports a lost server as RuntimeError
                _log.warning("worker of %s waits for Temporal: %s", self._task_queue, error)
            finally:
                self._current = None
            if self._clock.monotonic() - started > _LONGEST_PAUSE_S:
                pause = _FIRST_PAUSE_S
            await self._clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def end(self, grace: timedelta) -> None:
        """Stop the worker in order; leave it when it does not end in time, as it does not while Temporal is away."""
        current = self._current
        if current is not None and current.is_running:
            with contextlib.suppress(RPCError, RuntimeError, TimeoutError):
                async with asyncio.timeout((grace + _SHUTDOWN_MARGIN).total_seconds()):
                    await current.shutdown()


async def _connected(client: temporalio.client.Client) -> temporalio.client.Client:
    """The same client, connected now: the SDK takes no other for a worker. Raises RuntimeError without a server."""
    config = client.config()
    service = dataclasses.replace(client.service_client.config, lazy=False)
    config["service_client"] = await temporalio.service.ServiceClient.connect(service)
    return temporalio.client.Client(**config)
