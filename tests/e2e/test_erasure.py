"""An erased text is shown nowhere any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mesh.testing.contract import eventually
from tests.e2e.jobs import run_job

if TYPE_CHECKING:
    import httpx

PROMPT = "Write one sentence about the harbour of Ostwick."


def test_a_job_does_not_show_a_text_whose_asset_was_erased(api: httpx.Client) -> None:
    task = {"task_id": "words", "step_type": "generate_text", "params": {"prompt": PROMPT}}
    job = run_job(api, {"version": "1.0", "tasks": [task]})
    assert job["state"] == "JOB_STATE_COMPLETED", job
    (step,) = job["steps"]
    assert step["text"]
    for asset_id in step["asset_ids"]:
        erased = api.post(f"/v1/multimodal/assets/{asset_id}:erase", json={"reason": "asked for"})
        assert erased.status_code == 200, erased.text
    path = f"/v1/multimodal/jobs/{job['job_id']}"

    async def is_gone() -> bool:
        answer = await asyncio.to_thread(api.get, path)
        return not answer.json()["steps"][0]["text"]

    asyncio.run(eventually(is_gone, within_s=60))
    described = api.get(f"{path}/describe").json()["job"]["steps"][0]
    assert (described["text"], described["asset_ids"]) == ("", step["asset_ids"])
