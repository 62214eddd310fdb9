"""Records the histories that `test_replay.py` replays: `python -m tests.integration.executor.record_histories`.

Run it for a new version of the workflow, under a new version number; those of released versions stay.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mesh import durable
from mesh.settings import BlobSettings
from mesh.stores import blobs
from mesh.testing import engines
from mesh.testing.contract import eventually
from svc_executor.adapters.memory.peers import LocalIdentity
from svc_executor.adapters.temporal import TemporalRunner
from svc_executor.app.control import CancelJob
from svc_executor.domain.job import StepState
from svc_executor.workflows.activities import JobActivities
from svc_executor.workflows.multimodal_job import MultimodalJobWorkflow
from tests.unit.executor.rig import Rig, down, picture, plan, task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from temporalio.client import Client

    from svc_executor.domain.job import Job
    from svc_executor.domain.provider import Invocation, InvocationResult, JsonValue

FOLDER = Path(__file__).with_name("histories")
GATE: dict[str, JsonValue] = {"enabled": True}


def rig_with(client: Client, queue: str, broken: Sequence[str]) -> Rig:
    """A rig on a queue, with providers that are down."""
    rig = Rig(runner=TemporalRunner(client, queue))
    for adapter in broken:
        rig.shelf.providers[adapter].script = down
    return rig


async def save(client: Client, job: Job, name: str) -> None:
    """Keep the history of a job's workflow."""
    handle = client.get_workflow_handle(job.job_id)
    await handle.result()
    text = (await handle.fetch_history()).to_json()
    document = json.loads(re.sub(r"\d+@[\w.-]+", "worker", text))  # who worked is of no account
    (FOLDER / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


async def run(client: Client, name: str, broken: Sequence[str], *tasks: dict[str, JsonValue]) -> None:
    """Run a plan to its end and keep its history."""
    rig = rig_with(client, name, broken)
    activities = JobActivities(rig.use_cases(), rig.store, LocalIdentity())
    async with durable.worker(client, name, [MultimodalJobWorkflow], activities.all):
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

    rig.shelf.providers["painter"] = Endless()  # type: ignore[assignment]
    activities = JobActivities(rig.use_cases(), rig.store, LocalIdentity())
    async with durable.worker(client, name, [MultimodalJobWorkflow], activities.all):
        job = await rig.submit(plan(task("a"), task("photo", "generate_image")))

        async def halfway() -> bool:
            steps = await rig.store.steps(job.tenant_id, job.job_id)
            return [step.state for step in steps] == [StepState.SUCCEEDED, StepState.RUNNING]

        await eventually(halfway)
        await CancelJob(rig.store, rig.runner)(job.tenant_id, job.job_id, "enough")
        await rig.ended(job)
        await save(client, job, name)


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


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "v1"))
