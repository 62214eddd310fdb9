"""How the edge transcodes JSON, and which headers it sets and removes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mesh.rpc.interceptors.admission import TRANSCODED_KEY
from soma.executor.v1 import job_service_pb2
from soma.executor.v1.job_service_pb2_grpc import JobServiceStub
from tests.integration.gateway.edge.edge_requests import JOBS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.gateway.edge.rig import EdgeUnderTest

OVERHEAD = "x-mesh-overhead-seconds"


async def test_json_is_translated_with_the_contracts_names(edge: EdgeUnderTest) -> None:
    async with edge.client() as client:
        answer = await client.post(JOBS, json={"plan": {"a": 1}, "session_id": "s"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert (answer.json()["session_id"], answer.json()["cost_micro_usd"]) == ("s", "0")
    assert "grpc-status" not in answer.headers


async def test_events_arrive_one_by_one(edge: EdgeUnderTest) -> None:
    edge.upstream.hold.clear()
    async with edge.client() as client, client.stream("GET", f"{JOBS}/j/events") as stream:
        lines = (line async for line in stream.aiter_lines() if line)
        first = [json.loads((await anext(lines)).removeprefix("data: "))["sequence"] for _ in range(2)]
        edge.upstream.hold.set()
        last = [json.loads(line.removeprefix("data: "))["sequence"] async for line in lines]
    assert stream.headers["content-type"] == "text/event-stream"
    assert (first, last) == (["1", "2"], ["3"])


async def test_upload_is_streamed_while_it_is_sent(edge: EdgeUnderTest) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"a" * 100_000
        await edge.upstream.held.wait()
        yield b"b" * 100_000

    async with edge.client() as client:
        answer = await client.post("/v1/uploads?filename=x.png", content=parts(), headers={"content-type": "image/png"})
    asset = answer.json()
    assert (asset["size_bytes"], asset["filename"], asset["media_type"]) == ("200000", "x.png", "image/png")


async def test_download_has_its_own_type_and_bytes(edge: EdgeUnderTest) -> None:
    async with edge.client() as client:
        answer = await client.get("/v1/multimodal/assets/x")
    assert (answer.headers["content-type"], len(answer.content)) == ("image/png", 300_004)


async def test_headers_pass_and_identity_headers_do_not(edge: EdgeUnderTest) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    sent = {
        "idempotency-key": "i-1", "last-event-id": "7", "x-request-id": "r-1",
        "traceparent": f"00-{trace_id}-b7ad6b7169203331-01",
        "x-tenant-id": "other", "x-soma-tenant": "other", "x-soma-key-id": "other", "x-internal-token": "t",
        "x-envoy-retry-on": "5xx", "x-forwarded-client-cert": "By=spiffe://soma/gateway",
    }  # fmt: skip
    async with edge.client() as client:
        answer = await client.get(JOBS, headers=sent)
    got = edge.upstream.metadata
    assert {name: got[name] for name in ("idempotency-key", "last-event-id", "x-request-id", "traceparent")} == {
        name: sent[name] for name in ("idempotency-key", "last-event-id", "x-request-id", "traceparent")
    }
    stripped = {"x-tenant-id", "x-soma-tenant", "x-soma-key-id", "x-internal-token", "x-envoy-retry-on"}
    assert not (stripped | {"x-forwarded-client-cert"}) & got.keys()
    assert got["authorization"] == client.headers["authorization"]
    assert (answer.headers["x-trace-id"], answer.headers["x-request-id"]) == (trace_id, "r-1")


async def test_request_without_a_trace_gets_one(edge: EdgeUnderTest) -> None:
    async with edge.client() as client:
        answer = await client.get(JOBS)
    version, trace_id, span, flags = edge.upstream.metadata["traceparent"].split("-")
    assert (version, len(trace_id), len(span), flags) == ("00", 32, 16, "01")
    assert answer.headers["x-trace-id"] == trace_id


@pytest.mark.parametrize(
    "parent",
    [
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ],
)
async def test_trace_that_services_would_not_continue_is_replaced(edge: EdgeUnderTest, parent: str) -> None:
    async with edge.client() as client:
        answer = await client.get(JOBS, headers={"traceparent": parent})
    span = trace.get_current_span(TraceContextTextMapPropagator().extract(edge.upstream.metadata)).get_span_context()
    assert span.is_valid
    assert answer.headers["x-trace-id"] == trace.format_trace_id(span.trace_id)
    assert answer.headers["x-trace-id"] not in parent


async def test_answers_carry_security_headers(edge: EdgeUnderTest) -> None:
    async with edge.client(authenticated=False) as client:
        for path in ("/v1/health", "/nowhere"):
            answer = await client.get(path)
            assert answer.headers["strict-transport-security"].startswith("max-age=")
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_mesh_tells_its_own_time(edge: EdgeUnderTest) -> None:
    """The edge does where the whole time is the mesh's; who waited for a provider says itself what is left."""
    async with edge.client() as client:
        whole, part = [await client.get(f"{JOBS}/{job_id}") for job_id in ("plain", "provided")]
        async with client.stream("GET", f"{JOBS}/j/events") as stream:
            pass
        refused = [await client.get(path) for path in ("/nowhere", f"{JOBS}?unknown=1")]
    assert 0 < float(whole.headers[OVERHEAD]) < 60
    assert part.headers.get_list(OVERHEAD) == ["0.5"]
    assert [answer.headers.get(OVERHEAD) for answer in (stream, *refused)] == [None, None, None]


async def test_services_know_rest_calls_from_others_and_clients_cannot_pretend(edge: EdgeUnderTest) -> None:
    async with edge.client() as client:
        await client.get(JOBS)
    assert edge.upstream.metadata[TRANSCODED_KEY] == JOBS
    async with edge.channel() as channel:
        metadata = (("authorization", f"Bearer {edge.signer.token()}"), (TRANSCODED_KEY, JOBS))
        await JobServiceStub(channel).ListJobs(job_service_pb2.ListJobsRequest(), metadata=metadata)
    assert TRANSCODED_KEY not in edge.upstream.metadata
