"""HEAD is GET without a body."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.errors import STATUS_MAPPINGS, Reason
from tests.integration.gateway.edge.edge_requests import JOBS, bearer, wait_until
from tests.integration.gateway.edge.rig import EdgeUnderTest, limits

if TYPE_CHECKING:
    import httpx

OF_ONE_ANSWER = {"date", "x-trace-id", "x-request-id", "x-mesh-overhead-seconds"}


def lasting(answer: httpx.Response) -> dict[str, str]:
    """The headers that two equal answers share."""
    return {name: value for name, value in answer.headers.items() if name not in OF_ONE_ANSWER}


@pytest.mark.parametrize("http2", [True, False])
@pytest.mark.parametrize("path", ["/v1/health", JOBS, f"{JOBS}/x", f"{JOBS}/wrong", "/v1/budgets"])
async def test_head_has_status_and_headers_of_get_and_no_body(edge: EdgeUnderTest, path: str, *, http2: bool) -> None:
    async with edge.client(http2=http2) as client:
        head, get, again = await client.head(path), await client.get(path), await client.head(path)
    assert (head.status_code, lasting(head), head.content) == (get.status_code, lasting(get), b"")
    assert int(head.headers["content-length"]) == len(get.content) > 0
    assert lasting(again) == lasting(head)


async def test_refusals_of_a_service_are_the_same(edge: EdgeUnderTest) -> None:
    async with edge.client() as client:
        for told in Reason:
            edge.upstream.fail = told
            head, get = await client.head(JOBS), await client.get(JOBS)
            assert get.status_code == STATUS_MAPPINGS[told].http_status
            assert (head.status_code, lasting(head), head.content) == (get.status_code, lasting(get), b"")
            assert int(head.headers["content-length"]) == len(get.content) > 0


@pytest.mark.parametrize("http2", [True, False])
async def test_a_400_that_names_no_reason_has_the_length_of_the_text_that_get_sends(
    edge: EdgeUnderTest, *, http2: bool
) -> None:
    """The edge takes the refused value out of such a text, which makes it shorter than what the service sent."""
    async with edge.client(http2=http2) as client:
        head, get = await client.head(f"{JOBS}/unreasoned"), await client.get(f"{JOBS}/unreasoned")
    assert (get.status_code, get.json()["message"]) == (400, "invalid value for type TYPE_INT64")
    assert (head.status_code, lasting(head), head.content) == (400, lasting(get), b"")
    assert int(head.headers["content-length"]) == len(get.content)


async def test_a_query_outside_the_contract_is_refused_without_a_length(edge: EdgeUnderTest) -> None:
    """The edge's own text is written only where it is sent."""
    async with edge.client() as client, edge.client(http2=False) as older:
        answers = [await asked.head(f"{JOBS}?page_size=many") for asked in (client, older)]
    assert [(answer.status_code, answer.content, "content-length" in answer.headers) for answer in answers] == [
        (400, b"", False)
    ] * 2


async def test_the_service_is_called_as_for_get(edge: EdgeUnderTest) -> None:
    calls = edge.upstream.calls
    async with edge.client() as client:
        await client.head(f"{JOBS}/x", headers={"x-request-id": "r-1"})
    assert (edge.upstream.calls, edge.upstream.metadata["x-request-id"]) == (calls + 1, "r-1")


@pytest.mark.parametrize(
    "path", [f"{JOBS}/j/events", "/v1/multimodal/assets/x", "/v1/health/events", f"{JOBS}/x:cancel"]
)
@pytest.mark.parametrize("http2", [True, False])
async def test_streams_and_what_has_no_get_have_no_head(edge: EdgeUnderTest, path: str, *, http2: bool) -> None:
    calls = edge.upstream.calls
    async with edge.client(http2=http2) as client:
        answer = await client.head(path)
    assert (answer.status_code, answer.content, edge.upstream.calls) == (405, b"", calls)
    assert "HEAD" not in answer.headers["allow"]


async def test_credentials_are_checked(edge: EdgeUnderTest) -> None:
    calls = edge.upstream.calls
    forged = bearer(edge.signer.token(aud="other"))
    async with edge.client(authenticated=False) as client:
        answers = [await client.head(JOBS), await client.head(JOBS, headers=forged)]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert edge.upstream.calls == calls


async def test_rates_are_kept_to(edge: EdgeUnderTest) -> None:
    edge.change(limits=limits(tenant_requests_per_second=5))
    async with edge.client(http2=False) as client:

        async def limited() -> bool:
            return (await client.head(JOBS)).status_code == 429

        await wait_until(limited)
        answers = [await client.head(JOBS) for _ in range(12)]
    answer = next(answer for answer in answers if answer.status_code == 429)
    assert (answer.headers["ratelimit-limit"], answer.headers["retry-after"], answer.content) == ("5", "1", b"")


async def test_an_answer_larger_than_a_buffer_loses_its_body_too(edge: EdgeUnderTest) -> None:
    async with edge.client() as client:
        head, get = await client.head(f"{JOBS}/large"), await client.get(f"{JOBS}/large")
    assert len(get.content) > 2 << 20
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(get.content)), b"")
