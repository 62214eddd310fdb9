"""Requests to the edge, and what tests read from the responses and the access log."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

    from tests.integration.gateway.edge.rig import EdgeUnderTest

JOBS = "/v1/multimodal/jobs"


def reason(response: httpx.Response) -> str:
    body = response.json()
    assert set(body) == {"code", "message", "details"}
    assert response.headers["content-type"] == "application/json"
    info = body["details"][0]
    assert (info["@type"], info["domain"]) == ("type.googleapis.com/google.rpc.ErrorInfo", "soma")
    return str(info["reason"])


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def wait_until(condition: object) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # type: ignore[operator]  # noqa: ASYNC110 - another process sends no event
            await asyncio.sleep(0.005)


async def access_log_entry(edge: EdgeUnderTest, response: httpx.Response) -> dict[str, object]:
    """Returns the entry of the access log for a request."""
    trace, log = response.headers["x-trace-id"], edge.engine._home.logs / "access.log"

    async def written() -> bool:
        return trace in log.read_text()

    await wait_until(written)
    return dict(next(json.loads(line) for line in log.read_text().splitlines() if trace in line))
