"""Records the histories that `test_replay.py` replays: `python -m tests.integration.provenance.record_histories`.

Run it for a new version of the workflow, under a new version number; those of released versions stay.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from temporalio import activity

from mesh import durable
from soma_local.testing import engines
from svc_provenance.app.dead_letters import RequeueStep
from svc_provenance.domain.dead_letters import WORKFLOW, DeadLetterRef
from svc_provenance.workflows.requeue import ADVANCE, RequeueWorkflow

if TYPE_CHECKING:
    from temporalio.client import Client

FOLDER = Path(__file__).with_name("histories")
RUNS = {
    "resolved": [RequeueStep("waiting", at_rest=False, wait_s=0.1), RequeueStep("requeued", at_rest=False, wait_s=0.1)],
    "exhausted": [RequeueStep("waiting", at_rest=False, wait_s=0.1)] * 3,
    "discarded": [],
}


async def run(client: Client, version: str, name: str, steps: list[RequeueStep]) -> None:
    """Run a letter to its rest and keep its history."""
    queue = f"record-{name}"
    left = [*steps, RequeueStep(name, at_rest=True, wait_s=600.0)]

    @activity.defn(name=ADVANCE)
    async def advance(order: DeadLetterRef) -> RequeueStep:
        return left.pop(0)

    async with durable.worker(client, queue, [RequeueWorkflow], [advance]):
        handle = await client.start_workflow(WORKFLOW, DeadLetterRef("acme", "letter"), id=queue, task_queue=queue)
        await handle.result()
        text = (await handle.fetch_history()).to_json()
    document = json.loads(re.sub(r"\d+@[\w.-]+", "worker", text))  # who worked is of no account
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}_{version}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


async def main(version: str) -> None:
    """Record one history of each kind."""
    async with engines.temporal_engine() as engine, durable.client(engines.temporal_settings(engine)) as client:
        for name, steps in RUNS.items():
            await run(client, version, name, steps)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "v1"))
