"""An innocent tenant's ordinary work, each kind with its latencies."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

CHART = {"chart": {"kind": "bar", "title": "soak", "series": [{"name": "s", "x": ["a", "b"], "y": [1, 2]}]}}
PLAN = {
    "version": "1.0",
    "tasks": [{"task_id": "a", "step_type": "generate_diagram", "task_type": "chart", "params": CHART}],
}
DIAGRAM = {"requirements": {"modality": "MODALITY_DIAGRAM", "task_type": "image_diagram"}, "dry_run": True}


async def select(client: httpx.AsyncClient) -> None:
    """A selection."""
    (await client.post("/v1/selections", json=DIAGRAM)).raise_for_status()


async def upload(client: httpx.AsyncClient) -> None:
    """A small upload, read back."""
    body = b"soak " + os.urandom(400).hex().encode()
    stored = await client.post("/v1/uploads?filename=a.txt", content=body, headers={"content-type": "text/plain"})
    stored.raise_for_status()
    (await client.get(f"/v1/multimodal/assets/{stored.json()['asset_id']}/metadata")).raise_for_status()


async def run_job(client: httpx.AsyncClient) -> None:
    """A job from its submission to the last event of its stream."""
    made = await client.post("/v1/multimodal/jobs", json={"plan": PLAN})
    made.raise_for_status()
    path = f"/v1/multimodal/jobs/{made.json()['job_id']}/events"
    async with client.stream("GET", path) as stream:
        stream.raise_for_status()
        async for line in stream.aiter_lines():
            if line.startswith("data:") and json.loads(line.removeprefix("data:"))["terminal"]:
                return


async def listing(client: httpx.AsyncClient) -> None:
    """A page of jobs."""
    (await client.get("/v1/multimodal/jobs", params={"page_size": 20})).raise_for_status()


WORK: Mapping[str, tuple[float, Callable[[httpx.AsyncClient], Awaitable[None]]]] = {
    "select": (0.25, select),
    "upload and read": (1.0, upload),
    "list jobs": (1.0, listing),
    "job with its stream": (4.0, run_job),
}
"""What is done, every how many seconds."""


class NormalTenant:
    """Seconds of each kind of work, and what failed."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {name: [] for name in WORK}
        self.failed: list[str] = []

    async def work(self, client: httpx.AsyncClient, seconds: float) -> None:
        """Works for a while; what has begun is finished."""
        end = time.monotonic() + seconds
        await asyncio.gather(*(self._repeat(client, name, end) for name in WORK))

    async def _repeat(self, client: httpx.AsyncClient, name: str, end: float) -> None:
        every, do = WORK[name]
        while (began := time.monotonic()) < end:
            try:
                await do(client)
            except httpx.HTTPError as error:
                self.failed.append(f"{name}: {error}")
            else:
                self.seconds[name].append(time.monotonic() - began)
            await asyncio.sleep(max(0.0, began + every - time.monotonic()))
