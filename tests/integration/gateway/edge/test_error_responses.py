"""The edge's own error responses, and those of services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.errors import STATUS_MAPPINGS, Reason
from tests.integration.gateway.edge.edge_requests import JOBS, reason

if TYPE_CHECKING:
    from tests.integration.gateway.edge.rig import EdgeUnderTest


async def test_every_reason_of_a_service_has_its_status(edge: EdgeUnderTest) -> None:
    async with edge.client() as client:
        for told in Reason:
            rule, edge.upstream.fail = STATUS_MAPPINGS[told], told
            answer = await client.get(JOBS)
            assert (answer.status_code, reason(answer)) == (rule.http_status, told.value)
            assert ("retry-after" in answer.headers) == rule.retryable


async def test_retry_after_is_what_the_service_says(edge: EdgeUnderTest) -> None:
    edge.upstream.fail = Reason.OVERLOADED
    async with edge.client() as client:
        assert (await client.get(JOBS)).headers["retry-after"] == "7"


async def test_field_violations_reach_the_caller(edge: EdgeUnderTest) -> None:
    async with edge.client() as client:
        answer = await client.get(f"{JOBS}/wrong")
    violation = answer.json()["details"][1]["field_violations"][0]
    assert (violation["field"], violation["description"]) == ("job_id", "is not a UUID")


@pytest.mark.parametrize(
    ("method", "path", "status", "told"),
    [
        ("GET", "/", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/v1/nothing", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/v1/health/", 404, "ROUTE_NOT_FOUND"),
        ("POST", "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources", 404,
         "ROUTE_NOT_FOUND"),
        ("POST", "/v1/health", 405, "METHOD_NOT_ALLOWED"),
        ("TRACE", f"{JOBS}/x", 405, "METHOD_NOT_ALLOWED"),
        ("PROPFIND", JOBS, 405, "METHOD_NOT_ALLOWED"),
        ("OPTIONS", JOBS, 405, "METHOD_NOT_ALLOWED"),
        ("GET", f"{JOBS}/x:cancel", 405, "METHOD_NOT_ALLOWED"),
        ("GET", f"{JOBS}?unknown=1", 400, "INVALID_ARGUMENT"),
        ("GET", f"{JOBS}?page_size=many", 400, "INVALID_ARGUMENT"),
    ],
)  # fmt: skip
async def test_paths_and_queries_outside_the_contract_are_refused(
    edge: EdgeUnderTest, method: str, path: str, status: int, told: str
) -> None:
    async with edge.client() as client, edge.client(http2=False) as older:
        answer = await client.request(method, path)
        same = await older.request(method, path)
    assert (same.status_code, reason(same)) == (answer.status_code, reason(answer)) == (status, told)
    assert answer.json()["details"][0]["metadata"] == {"trace_id": answer.headers["x-trace-id"]}


async def test_refused_method_names_those_that_exist(edge: EdgeUnderTest) -> None:
    async with edge.client() as client:
        assert (await client.put(JOBS)).headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize("body", [b"{bad", b"[]", b'"text"', b'{"session_id": 5}', b'{"plan": []}', b"\xff\xfe{}"])
async def test_malformed_bodies_are_refused(edge: EdgeUnderTest, body: bytes) -> None:
    async with edge.client() as client:
        answer = await client.post(JOBS, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, reason(answer)) == (400, "INVALID_ARGUMENT")


async def test_body_that_contradicts_the_path_is_refused(edge: EdgeUnderTest) -> None:
    async with edge.client() as client:
        answer = await client.post(f"{JOBS}/a:cancel", json={"job_id": "b"})
    assert (answer.status_code, reason(answer)) == (400, "INVALID_ARGUMENT")


async def test_body_of_another_type_is_refused(edge: EdgeUnderTest) -> None:
    async with edge.client() as client:
        answer = await client.post(JOBS, content=b"<a/>", headers={"content-type": "text/xml"})
    assert (answer.status_code, reason(answer)) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_service_that_is_not_there_is_told_as_such(edge: EdgeUnderTest) -> None:
    async with edge.client() as client:
        answer = await client.get("/v1/budgets")
    assert (answer.status_code, reason(answer)) == (503, "UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"
