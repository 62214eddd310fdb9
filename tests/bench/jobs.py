"""What a step of a job costs beyond its provider, beside a bare Temporal activity."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

from tests.bench.figures import Figure
from tests.e2e.jobs import run_job

if TYPE_CHECKING:
    from tests.e2e.conftest import Running

STEPS = 10
QUEUE = "bench"


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


def plan() -> dict[str, object]:
    """Charts one after the other, without a critic: select, invoke, store, record."""
    chart = {"kind": "bar", "title": "bench", "series": [{"name": "s", "x": ["a"], "y": [1]}]}
    tasks = [
        {
            "task_id": f"s{number}",
            "step_type": "generate_diagram",
            "task_type": "chart",
            "depends_on": [f"s{number - 1}"] if number else [],
            "params": {"scale": 0.3, "chart": chart},
        }
        for number in range(STEPS)
    ]
    return {"version": "1.0", "tasks": tasks, "policy_overrides": {"quality_gates_enabled": False}}


def ours(mesh: Running) -> float:
    """Seconds a step beyond its provider's own time."""
    with mesh.client() as api:
        run_job(api, plan())
        began = time.perf_counter()
        job = run_job(api, plan())
        taken = time.perf_counter() - began
        described = api.get(f"/v1/multimodal/jobs/{job['job_id']}/describe").json()
    inside = sum(int(item["latency_ms"]) for item in described["executions"]) / 1000
    return (taken - inside) / STEPS


async def bare(mesh: Running) -> float:
    """Seconds an activity of a workflow that does nothing else."""
    client = await Client.connect(mesh.variable("SA01_TEMPORAL_ADDRESS"))
    async with Worker(client, task_queue=QUEUE, workflows=[BareWorkflow], activities=[nothing]):
        for name in ("warm", "measured"):
            began = time.perf_counter()
            await client.execute_workflow(BareWorkflow.run, STEPS, id=f"bench-{name}", task_queue=QUEUE)
            taken = time.perf_counter() - began
    return taken / STEPS


async def measure(mesh: Running) -> list[Figure]:
    """Both, and their ratio."""
    activity_s = await bare(mesh)
    step_s = ours(mesh)
    return [
        Figure("bare Temporal activity", activity_s * 1000, "ms"),
        Figure("job step beyond its provider", step_s * 1000, "ms", "bare activity", step_s / activity_s),
    ]
