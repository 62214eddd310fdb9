"""The edge's limits of sizes, rates and durations."""

from __future__ import annotations

import asyncio
import contextlib

import httpx
import pytest

from tests.integration.gateway.edge.edge_requests import JOBS, bearer, reason, wait_until
from tests.integration.gateway.edge.rig import EdgeUnderTest, limits


async def test_body_over_the_limit_is_refused(edge: EdgeUnderTest) -> None:
    limit = edge.state.limits.body_bytes
    async with edge.client(http2=False) as client:
        fits = await client.post(JOBS, json={"session_id": "x" * (limit - 100)})
        over = await client.post(JOBS, json={"session_id": "x" * limit})
    assert fits.status_code == 200
    assert (over.status_code, reason(over)) == (413, "PAYLOAD_TOO_LARGE")


async def test_upload_declared_over_the_limit_is_refused_unread(edge: EdgeUnderTest) -> None:
    head = (
        f"POST /v1/uploads HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {edge.signer.token()}\r\n"
        f"content-length: {edge.state.limits.upload_bytes + 1}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, ssl=edge.trust, server_hostname="localhost")
    writer.write(head.encode())
    answer = (await asyncio.wait_for(reader.read(65_536), 20)).decode()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith("HTTP/1.1 413 ")
    assert '"PAYLOAD_TOO_LARGE"' in answer


async def test_rate_over_the_limit_is_refused_for_that_tenant_alone(edge: EdgeUnderTest) -> None:
    # Limits are part of the listener: its connections are drained, which this client understands over HTTP/1.1 only.
    edge.change(limits=limits(tenant_requests_per_second=5))

    async with edge.client(http2=False) as client:

        async def limited() -> bool:
            return (await client.get(JOBS)).status_code == 429

        await wait_until(limited)
        answers = [await client.get(JOBS) for _ in range(12)]
        answer = next(answer for answer in answers if answer.status_code == 429)
        assert reason(answer) == "RATE_LIMITED"
        assert (answer.headers["ratelimit-limit"], answer.headers["retry-after"]) == ("5", "1")
        other = await client.get(JOBS, headers=bearer(edge.signer.token(tenant="another")))
        assert other.status_code == 200


async def test_call_over_its_time_is_ended(edge: EdgeUnderTest) -> None:
    edge.upstream.hold.clear()
    edge.change(limits=limits(unary_timeout_s=0.3))
    async with edge.client(http2=False) as client:

        async def ended() -> bool:
            try:
                answer = await client.get(f"{JOBS}/held", timeout=1)
            except httpx.ReadTimeout:  # it came before the new limit
                return False
            return answer.status_code == 504 and reason(answer) == "DEADLINE_EXCEEDED"

        await wait_until(ended)


async def first_line(edge: EdgeUnderTest, path: str) -> str:
    """The status line that a client gets who never sends its whole body."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {edge.signer.token()}\r\n"
        "content-type: application/json\r\ncontent-length: 1000\r\n\r\n{"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, ssl=edge.trust, server_hostname="localhost")
    writer.write(head.encode())
    try:
        return (await asyncio.wait_for(reader.readline(), 3)).decode()
    except TimeoutError:  # it came before the new limit
        return ""
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.mark.parametrize(
    ("path", "changes"),
    [(JOBS, {"unary_timeout_s": 0.3}), ("/v1/uploads", {"upload_longest_s": 0.3})],
)
async def test_body_that_does_not_arrive_in_time_is_given_up(
    edge: EdgeUnderTest, path: str, changes: dict[str, float]
) -> None:
    edge.change(limits=limits(**changes))

    async def timed_out() -> bool:
        return (await first_line(edge, path)).startswith("HTTP/1.1 504 ")

    await wait_until(timed_out)
