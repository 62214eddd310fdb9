"""How tests ask the edge, and what they read from its answers."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

    from tests.integration.gateway.edge.rig import EdgeUnderTest

JOBS = "/v1/multimodal/jobs"


def reason(answer: httpx.Response) -> str:
    body = answer.json()
    assert set(body) == {"code", "message", "details"}
    assert answer.headers["content-type"] == "application/json"
    info = body["details"][0]
    assert (info["@type"], info["domain"]) == ("type.googleapis.com/google.rpc.ErrorInfo", "soma")
    return str(info["reason"])


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def until(asked: object) -> None:
    async with asyncio.timeout(20):
        while not await asked():  # type: ignore[operator]  # noqa: ASYNC110 - another process tells of no event
            await asyncio.sleep(0.005)


async def logged(edge: EdgeUnderTest, answer: httpx.Response) -> dict[str, object]:
    """The line of the access log about a request."""
    trace, log = answer.headers["x-trace-id"], edge.engine._home.logs / "access.log"

    async def written() -> bool:
        return trace in log.read_text()

    await until(written)
    return dict(next(json.loads(line) for line in log.read_text().splitlines() if trace in line))
