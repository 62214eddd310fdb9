"""Invariant 2: a step with a recorded result never runs again; an unrecorded one re-runs under the same provider key.

A real worker process is killed in the middle of its jobs and started again, and its transactions lose their answers
after the commit. The provider notes each call and whether its result was on record.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh import durable
from mesh.clock import SystemClock
from mesh.ids import SystemIds, rng
from mesh.settings import BlobSettings
from mesh.stores import blobs
from mesh.stores.postgres import Postgres
from mesh.testing.audit import auditor
from mesh.testing.contract import eventually
from soma_local.testing.processes import killed_with_parent
from svc_executor.adapters.postgres import PostgresJobs
from svc_executor.adapters.temporal import TemporalRunner
from svc_executor.domain.job import JobState
from svc_executor.events.published import EventEncoder
from tests.chaos.executor.worker import WorkerOptions
from tests.unit.executor.rig import OWNER, Rig, plan, task

if TYPE_CHECKING:
    from mesh.settings import TemporalSettings
    from svc_executor.domain.job import Job
    from tests.conftest import Database

ROOT = Path(__file__).parents[3]
STEPS = 5
SEED = int(os.environ.get("SOMA_SEED", "20261123"))


@dataclass
class WorkerCluster:
    """Jobs on a real store and Temporal, and a worker that may be killed."""

    rig: Rig
    options: WorkerOptions
    process: asyncio.subprocess.Process | None = None

    @property
    def calls(self) -> list[dict[str, str]]:
        """What the provider was asked, in order."""
        file = Path(self.options.folder, "calls")
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def injected(self) -> int:
        """Answers that were lost."""
        file = Path(self.options.folder, "injected")
        return file.stat().st_size if file.exists() else 0

    @property
    def stored(self) -> set[str]:
        """Ids of the assets that are there."""
        return {file.name for file in Path(self.options.folder, "assets").iterdir()}

    @property
    def run_after_record(self) -> list[dict[str, str]]:
        """Calls for a result that was on record: what must never be."""
        return [call for call in self.calls if call["status"] != "RUNNING"]

    async def start(self, kills: int = 0) -> None:
        """Start a worker; each one draws its own faults."""
        options = {**asdict(self.options), "seed": self.options.seed + kills}
        self.process = await asyncio.create_subprocess_exec(
            *killed_with_parent(sys.executable, "-m", "tests.chaos.executor.worker", json.dumps(options)),
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def called(self, times: int, within_s: float) -> None:
        """Wait until the provider was called a number of times."""
        await eventually(lambda: len(self.calls) >= times, within_s=within_s)

    async def kill(self) -> None:
        """As the power going out."""
        if self.process is not None and self.process.returncode is None:
            os.kill(self.process.pid, signal.SIGKILL)
            await self.process.wait()

    async def submit(self, count: int) -> list[Job]:
        """Jobs of a chain of three with two steps beside it."""
        steps = [
            task("a"), task("b", params={"from": "${a.asset}"}), task("c", params={"from": "${b.asset}"}),
            task("x"), task("y", quality_gate={"enabled": True}),
        ]  # fmt: skip
        return [await self.rig.submit(plan(*steps)) for _ in range(count)]

    async def all_completed(self, jobs: list[Job]) -> bool:
        """Whether every job is done."""
        for job in jobs:
            state = (await self.rig.store.job(OWNER.tenant_id, job.job_id)).state
            assert state not in {JobState.FAILED, JobState.PARTIAL, JobState.CANCELLED}
            if state is not JobState.COMPLETED:
                return False
        return True


MakeWorkerCluster = Callable[..., AbstractAsyncContextManager[WorkerCluster]]


@pytest.fixture
def worker_cluster(database: Database, temporal_settings: TemporalSettings, tmp_path: Path) -> MakeWorkerCluster:
    @asynccontextmanager
    async def make(*, fault_rate: float, forgetful: bool = False) -> AsyncIterator[WorkerCluster]:
        settings = await database("executor", pool_max=4)
        queue = f"chaos-{SystemIds().new()}"
        options = WorkerOptions(
            settings.dsn.get_secret_value(),
            temporal_settings.address,
            queue,
            str(tmp_path),
            SEED,
            fault_rate,
            forgetful,
        )
        async with (
            Postgres.open(settings) as postgres,
            blobs.open(BlobSettings(url="memory://")) as store,
            durable.client(temporal_settings, store) as client,
        ):
            jobs = PostgresJobs(postgres, EventEncoder(SystemIds(), SystemClock()), auditor("executor"))
            made = WorkerCluster(Rig(store=jobs, runner=TemporalRunner(client, queue)), options)
            try:
                yield made
            finally:
                await made.kill()

    return make


async def run_with_kills(worker_cluster: MakeWorkerCluster, count: int, kills: int, timeout_s: float) -> None:
    """Jobs under kills spread over them and lost answers; tells what was injected, and what came of it."""
    random_source = rng(SEED)
    async with worker_cluster(fault_rate=0.05) as made:
        jobs = await made.submit(count)
        await made.start()
        for kill, share in enumerate(sorted(random_source.uniform(0.1, 0.8) for _ in range(kills)), 1):
            await made.called(int(share * count * STEPS), within_s=timeout_s)
            await made.kill()
            await made.start(kill)
        await eventually(lambda: made.all_completed(jobs), within_s=timeout_s)
        print(f"seed {SEED}: {count} jobs, {kills} kills, {made.injected} lost answers, {len(made.calls)} calls")  # noqa: T201 - to be repeated
        assert made.injected > 0
        assert made.run_after_record == []
        await check_keys(made, jobs)
        await check_records(made, jobs)


@pytest.mark.timeout(300)
async def test_no_recorded_step_runs_twice_when_the_worker_dies(worker_cluster: MakeWorkerCluster) -> None:
    await run_with_kills(worker_cluster, count=20, kills=2, timeout_s=100)


@pytest.mark.slow
@pytest.mark.timeout(1_500)
async def test_no_recorded_step_runs_twice_in_the_long_run(worker_cluster: MakeWorkerCluster) -> None:
    await run_with_kills(worker_cluster, count=300, kills=20, timeout_s=1_200)


async def check_keys(made: WorkerCluster, jobs: list[Job]) -> None:
    """Every step was made under one key alone, however often it was tried."""
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    for call in made.calls:
        keys[call["plan_id"], call["step_id"]].add(call["key"])
    assert len(keys) == len(jobs) * STEPS
    assert Counter(len(each) for each in keys.values()) == {1: len(keys)}


async def check_records(made: WorkerCluster, jobs: list[Job]) -> None:
    """Timelines have no gaps, steps one attempt, and nothing was stored that no step knows."""
    known: set[str] = set()
    for job in jobs:
        description = await made.rig.store.describe(OWNER.tenant_id, job.job_id)
        assert [event.sequence for event in description.events] == list(range(1, len(description.events) + 1))
        assert sum(event.terminal for event in description.events) == 1
        assert len(description.executions) == STEPS
        known |= {asset_id for step in description.steps for asset_id in step.asset_ids}
    assert made.stored == known


@pytest.mark.timeout(300)
async def test_the_planted_bug_is_caught(worker_cluster: MakeWorkerCluster) -> None:
    async with worker_cluster(fault_rate=0.3, forgetful=True) as made:
        await made.submit(4)
        await made.start()
        await eventually(lambda: bool(made.run_after_record), within_s=200)
        assert made.injected > 0
