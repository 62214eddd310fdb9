"""Records the histories that `test_replay.py` replays: `python -m tests.integration.executor.record_histories`.

Run it for a new version of the workflow, under a new version number; those of released versions stay.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from temporalio.client import WorkflowFailureError

from mesh import durable
from mesh.errors import Reason, SomaError
from mesh.settings import BlobSettings
from mesh.stores import blobs
from mesh.testing.contract import eventually
from soma_local.testing import engines
from svc_executor.adapters.temporal import TemporalRunner
from svc_executor.app.close_run import EndStep
from svc_executor.app.control import CancelJob, ControlRequest
from svc_executor.domain.job import StepState
from svc_executor.workflows.activities import JobActivities
from svc_executor.workflows.workers import job_workers
from tests.in_memory.executor.peers import LocalTokens
from tests.unit.executor.rig import OWNER, Rig, down, picture, plan, task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from temporalio.client import Client

    from soma_providers.port import Invocation, InvocationResult, JsonValue
    from svc_executor.domain.job import Job
    from svc_executor.domain.run import EndStepInput

FOLDER = Path(__file__).with_name("histories")
GATE: dict[str, JsonValue] = {"enabled": True}


def rig_with(client: Client, queue: str, broken: Sequence[str]) -> Rig:
    """A rig on a queue, with providers that are down."""
    rig = Rig(runner=TemporalRunner(client, queue))
    for adapter in broken:
        rig.catalogue.providers[adapter].script = down
    return rig


async def save(client: Client, job: Job, name: str) -> None:
    """Keep the history of a job's workflow."""
    handle = client.get_workflow_handle(job.job_id)
    with suppress(WorkflowFailureError):
        await handle.result()
    text = (await handle.fetch_history()).to_json()
    document = json.loads(re.sub(r"\d+@[\w.-]+", "worker", text))  # who worked is of no account
    (FOLDER / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


async def run(client: Client, name: str, broken: Sequence[str], *tasks: dict[str, JsonValue]) -> None:
    """Run a plan to its end and keep its history."""
    rig = rig_with(client, name, broken)
    activities = JobActivities(rig.use_cases(), rig.store, LocalTokens())
    async with job_workers(client, name, activities):
        job = await rig.submit(plan(*tasks))
        await rig.ended(job)
        await save(client, job, name)


async def run_cancelled(client: Client, name: str) -> None:
    """Cancel a job in the middle of a step and keep its history."""
    rig = rig_with(client, name, ())

    class Endless:
        provider = "remote"

        async def invoke(self, invocation: Invocation) -> InvocationResult:
            await asyncio.Event().wait()
            return picture(invocation)

    rig.catalogue.providers["painter"] = Endless()  # type: ignore[assignment]
    activities = JobActivities(rig.use_cases(), rig.store, LocalTokens())
    async with job_workers(client, name, activities):
        job = await rig.submit(plan(task("a"), task("photo", "generate_image")))

        async def halfway() -> bool:
            steps = await rig.store.steps(job.tenant_id, job.job_id)
            return [step.state for step in steps] == [StepState.SUCCEEDED, StepState.RUNNING]

        await eventually(halfway)
        await CancelJob(rig.store, rig.runner)(ControlRequest(OWNER, job.job_id, reason="enough"))
        await rig.ended(job)
        await save(client, job, name)


async def run_overdue(client: Client, name: str, *, cancelled: bool) -> None:
    """Time out, or cancel the workflow, while a skipped step cannot be recorded, and keep the history."""
    rig = rig_with(client, name, ("painter",))
    end_step = EndStep.__call__
    skipping = asyncio.Event()

    async def away(self: EndStep, request: EndStepInput) -> None:
        if request.step_id == "after":
            skipping.set()
            raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "the database is away")
        await end_step(self, request)

    photo = task("photo", "generate_image", on_failure="SKIP")
    limit = 600 if cancelled else 2
    EndStep.__call__ = away  # type: ignore[method-assign]
    activities = JobActivities(rig.use_cases(), rig.store, LocalTokens())
    async with job_workers(client, name, activities):
        after = task("after", depends_on=["photo"])
        job = await rig.submit(plan(photo, after, budget={"max_duration_sec": limit}))
        await skipping.wait()
        if cancelled:
            await client.get_workflow_handle(job.job_id).cancel()
        await save(client, job, name)
    EndStep.__call__ = end_step  # type: ignore[method-assign]


async def main(version: str) -> None:
    """Record one history of each kind."""
    FOLDER.mkdir(exist_ok=True)
    async with (
        engines.temporal_engine() as engine,
        blobs.open(BlobSettings(url="memory://")) as store,
        durable.client(engines.temporal_settings(engine), store) as client,
    ):
        text = task("intro", "generate_text", params={"prompt": "Write"})
        figure = task("fig", params={"source": "${intro.text}"}, quality_gate=GATE)
        composed = task("doc", "compose_document", params={"parts": ["${intro.text}", "${fig.asset}"]})
        await run(client, f"completed_{version}", ("mermaid",), text, figure, composed)
        photo = task("photo", "generate_image", on_failure="SKIP")
        await run(client, f"partial_{version}", ("painter",), photo, task("after", depends_on=["photo"]), text)
        await run(client, f"failed_{version}", ("composer",), text, figure, composed)
        await run_cancelled(client, f"cancelled_{version}")
        await run_overdue(client, f"overdue_{version}", cancelled=False)
        await run_overdue(client, f"stopped_{version}", cancelled=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "v1"))
