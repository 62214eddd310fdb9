"""Configuration changes while the edge serves, and its access log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from svc_gateway.domain.edge_state import Cors
from tests.integration.gateway.edge.edge_requests import JOBS, access_log_entry, wait_until

if TYPE_CHECKING:
    from tests.integration.gateway.edge.rig import EdgeUnderTest


async def test_routes_change_without_a_lost_request(edge: EdgeUnderTest) -> None:
    failures: list[object] = []
    done = asyncio.Event()
    count = 0

    async def load() -> None:
        nonlocal count
        async with edge.client() as client:
            while not done.is_set():
                answer = await client.get(JOBS)
                count += 1
                if answer.status_code != 200:
                    failures.append(answer.text)

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(load())
        for number in range(6):
            edge.change(limits=edge.state.limits, cors=Cors((f"https://{number}.example",)))
            before = count

            async def went_on(mark: int = before) -> bool:
                return count > mark + 20

            await wait_until(went_on)
        done.set()
    assert failures == []


async def test_pages_of_other_origins_may_call_only_when_allowed(edge: EdgeUnderTest) -> None:
    asked = {"origin": "https://console.example", "access-control-request-method": "POST"}
    async with edge.client(authenticated=False) as client:
        off = await client.options(JOBS, headers=asked)
        assert "access-control-allow-origin" not in off.headers
        edge.change(cors=Cors(("https://console.example",)))

        async def allowed() -> bool:
            answer = await client.options(JOBS, headers=asked)
            return bool(answer.headers.get("access-control-allow-origin") == "https://console.example")

        await wait_until(allowed)
        told = await client.get("/v1/health", headers={"origin": "https://console.example"})
        readable = set(told.headers["access-control-expose-headers"].split(", "))
        assert {"retry-after", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"} <= readable
        other = await client.options(JOBS, headers={**asked, "origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_requests_are_logged_with_tenant_and_trace(edge: EdgeUnderTest) -> None:
    async with edge.client() as client:
        line = await access_log_entry(edge, await client.get(f"{JOBS}/logged?"))
    assert (line["tenant"], line["key_id"], line["status"], line["path"]) == ("dev", "key-1", 200, f"{JOBS}/logged")
    assert line["route"] == "soma.executor.v1.JobService/GetJob"
