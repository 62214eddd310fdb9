"""What a step of a job costs beyond its provider, beside a bare Temporal activity."""

from __future__ import annotations

import asyncio
import statistics
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

from tests.bench.figures import Figure, percentile
from tests.e2e.jobs import run_job

if TYPE_CHECKING:
    import httpx

    from tests.bench.echo import EchoBaseline
    from tests.bench.rig import Rig

STEPS, TIMES = 10, 3
QUEUE = "bench"
PART = "job step"


@activity.defn
async def nothing(number: int) -> int:
    """Answers at once."""
    return number


@workflow.defn
class BareWorkflow:
    """One activity after the other."""

    @workflow.run
    async def run(self, steps: int) -> int:
        """Runs them."""
        for number in range(steps):
            await workflow.execute_activity(nothing, number, start_to_close_timeout=timedelta(seconds=10))
        return steps


def plan(steps: int) -> dict[str, object]:
    """Small charts one after the other, without a critic: select, invoke, store, record."""
    chart = {"kind": "bar", "title": "bench", "series": [{"name": "s", "x": ["a"], "y": [1]}]}
    tasks = [
        {
            "task_id": f"s{number}",
            "step_type": "generate_diagram",
            "task_type": "chart",
            "depends_on": [f"s{number - 1}"] if number else [],
            "params": {"scale": 0.3, "chart": chart},
        }
        for number in range(steps)
    ]
    return {"version": "1.0", "tasks": tasks, "policy_overrides": {"quality_gates_enabled": False}}


def timed(api: httpx.Client, steps: int) -> tuple[float, float]:
    """Seconds of a whole job as its caller sees it, and of its providers within."""
    began = time.perf_counter()
    job = run_job(api, plan(steps))
    taken = time.perf_counter() - began
    if job["state"] != "JOB_STATE_COMPLETED":
        raise RuntimeError(f"the job ended as {job['state']}")
    described = api.get(f"/v1/multimodal/jobs/{job['job_id']}/describe").json()
    return taken, sum(int(item["latency_ms"]) for item in described["executions"]) / 1000


def ours(rig: Rig) -> tuple[float, float, float]:
    """Medians in seconds: a step beyond its provider, its provider, and a job beyond its steps.

    Two lengths of job tell the cost of a step from the cost of a job.
    """
    with rig.client() as api:
        timed(api, 1)
        short = [timed(api, 1) for _ in range(TIMES)]
        long = [timed(api, 1 + STEPS) for _ in range(TIMES)]
    one = statistics.median(taken - inside for taken, inside in short)
    many = statistics.median(taken - inside for taken, inside in long)
    step = (many - one) / STEPS
    return step, statistics.median(inside for _, inside in long) / (1 + STEPS), one - step


async def bare(rig: Rig) -> float:
    """Median seconds an activity of a workflow that does nothing else."""
    client = await Client.connect(rig.variable("SA01_TEMPORAL_ADDRESS"))
    taken: list[float] = []
    async with Worker(client, task_queue=QUEUE, workflows=[BareWorkflow], activities=[nothing]):
        for number in range(1 + TIMES):
            began = time.perf_counter()
            await client.execute_workflow(BareWorkflow.run, STEPS, id=f"bench-{number}", task_queue=QUEUE)
            taken.append((time.perf_counter() - began) / STEPS)
    return statistics.median(taken[1:])


async def measure(rig: Rig, baseline: EchoBaseline) -> list[Figure]:
    """Both, and their ratio."""
    echo = percentile(baseline.sequential.latencies, 0.5)
    activity_s = await bare(rig)
    step_s, provider_s, job_s = await asyncio.to_thread(ours, rig)
    against, overhead = "bare activity", step_s / activity_s
    return [
        Figure(PART, "bare Temporal activity", activity_s * 1000, "ms", activity_s / echo),
        Figure(PART, "a step beyond its provider", step_s * 1000, "ms", step_s / echo, against, overhead),
        Figure(PART, "its provider (a small chart)", provider_s * 1000, "ms", provider_s / echo),
        Figure(PART, "a job beyond its steps, from REST to the end of SSE", job_s * 1000, "ms", job_s / echo),
    ]
