"""A worker process of the executor for chaos tests: real store and Temporal, peers that outlive it in a folder.

Its provider notes every call in a file, and whether the result of that call was recorded before.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from mesh import durable
from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.ids import SystemIds, derive, rng
from mesh.settings import BlobSettings, PostgresSettings, TemporalSettings
from mesh.stores import blobs
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing import faults
from mesh.testing.audit import auditor
from soma_providers.port import Artefact, InputArtefact, InvocationResult, ProbeResult
from soma_providers.runtime.estimates import CatalogueEstimates
from svc_executor.adapters.input_slots import LargeInputSlots
from svc_executor.adapters.outcomes import BlobOutcomes
from svc_executor.adapters.postgres import PostgresJobs
from svc_executor.adapters.temporal import TemporalRunner
from svc_executor.app.attempt import MakeAttempt
from svc_executor.app.open_run import RunLimits
from svc_executor.app.starting import StartJobs
from svc_executor.domain.job import SelectedCapability
from svc_executor.domain.peers import AssetInfo
from svc_executor.events.published import EventEncoder
from svc_executor.workflows.activities import JobActivities
from svc_executor.workflows.use_cases import Ports, use_cases
from svc_executor.workflows.workers import job_workers
from tests.in_memory.executor.peers import (
    Candidate,
    LocalTokens,
    MemoryCritic,
    MemoryMeter,
    MemorySelector,
    NoCredentials,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from soma_providers.port import Invocation
    from svc_executor.adapters.postgres.job_transaction import PostgresJobTransaction
    from svc_executor.domain.job import Execution
    from svc_executor.domain.peers import Upload

AFTER_COMMIT = "executor.after_commit"


@dataclass(frozen=True)
class WorkerOptions:
    """What a worker is told, as JSON in its first argument. `forgetful` plants the bug that the test must catch."""

    dsn: str
    temporal: str
    queue: str
    folder: str
    seed: int
    fault_rate: float
    forgetful: bool = False


class FaultyJobs(PostgresJobs):
    """Commits, and then may fail as if the answer had been lost."""

    @asynccontextmanager
    async def transaction(self, tenant_id: str, job_id: str) -> AsyncIterator[PostgresJobTransaction]:
        async with super().transaction(tenant_id, job_id) as transaction:
            yield transaction
        await faults.point(AFTER_COMMIT)


class RecordingProvider:
    """Notes every call with its key, and whether its result was on record already."""

    provider = "local"

    def __init__(self, postgres: Postgres, log: Path) -> None:
        self._postgres = postgres
        self._log = log

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Make something of the key, slowly enough to be killed in the middle."""
        async with self._postgres.transaction(SYSTEM) as connection:
            row = await connection.fetchrow(
                "SELECT plan_id::text, step_id, status FROM multimodal_executions WHERE idempotency_key = $1",
                invocation.idempotency_key,
            )
        note = {"key": invocation.idempotency_key, "pid": os.getpid(), **dict(row)}
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(note) + "\n")
        await asyncio.sleep(0.05)
        content = f"picture {invocation.idempotency_key}".encode()
        return InvocationResult((Artefact(content, "image/png", "p.png", "diagram"),))

    async def probe(self) -> ProbeResult:
        return ProbeResult(healthy=True)

    async def aclose(self) -> None:
        pass


class FolderAssets:
    """Assets as files named by what they are and by who asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    async def store(self, upload: Upload) -> str:
        asset_id = derive(upload.request_id, hashlib.sha256(upload.artefact.content).hexdigest())
        (self._folder / asset_id).write_bytes(upload.artefact.content)
        return asset_id

    async def describe(self, asset_id: str) -> AssetInfo:
        return AssetInfo(asset_id, "image/png", "p.png", (self._folder / asset_id).stat().st_size)

    async def load(self, asset: AssetInfo) -> InputArtefact:
        content = (self._folder / asset.asset_id).read_bytes()
        return InputArtefact(asset.asset_id, asset.media_type, asset.filename, content)

    async def release(self, asset_id: str, job_id: str, reason: str) -> None:
        (self._folder / asset_id).unlink(missing_ok=True)

    async def list_held(self, job_id: str) -> list[str]:
        return []


class SingleProviderCatalogue:
    """A catalogue of one."""

    def __init__(self, provider: RecordingProvider) -> None:
        self._provider = provider

    def provider(self, adapter: str) -> RecordingProvider:
        return self._provider


class ForgetfulAttempt(MakeAttempt):
    """The planted bug: never looks whether a result is recorded."""

    @staticmethod
    def is_recorded(execution: Execution) -> bool:
        return False


async def run_worker(options: WorkerOptions) -> None:
    """Work until killed."""
    folder, clock = Path(options.folder), SystemClock()
    settings = PostgresSettings(dsn=SecretStr(options.dsn), schema_name="executor", pool_max=12)
    random_source = rng(options.seed)

    async def lose_the_answer() -> None:
        if random_source.random() < options.fault_rate:
            with (folder / "injected").open("a", encoding="utf-8") as file:
                file.write("x")
            raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "the answer was lost")

    async with (
        Postgres.open(settings) as postgres,
        blobs.open(BlobSettings(url="memory://")) as store,
        durable.client(TemporalSettings(address=options.temporal), store) as client,
    ):
        jobs = FaultyJobs(postgres, EventEncoder(SystemIds(), clock), auditor("executor"))
        capability = SelectedCapability("noting@local", "noting", "local", "noting")
        catalogue = SingleProviderCatalogue(RecordingProvider(postgres, folder / "calls"))
        ports = Ports(
            store=jobs,
            selector=MemorySelector([Candidate("image_diagram", capability)]),
            assets=FolderAssets(folder / "assets"),
            critic=MemoryCritic(),
            catalogue=catalogue,
            credentials=NoCredentials(),
            meter=MemoryMeter(),
            clock=clock,
            outcomes=BlobOutcomes(store),
            large_inputs=LargeInputSlots(clock),
            estimates=CatalogueEstimates(catalogue, ()),
        )
        starting = StartJobs(jobs, TemporalRunner(client, options.queue))
        wired = use_cases(ports, RunLimits(), starting, provider_timeout_s=10.0)
        if options.forgetful:
            wired.attempt.__class__ = ForgetfulAttempt
        activities = JobActivities(wired, jobs, LocalTokens())
        with faults.armed(AFTER_COMMIT, lose_the_answer):
            async with job_workers(client, options.queue, activities):
                await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run_worker(WorkerOptions(**json.loads(sys.argv[1]))))
