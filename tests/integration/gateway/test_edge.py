"""What the edge does with requests, through the real proxy."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
from google.api import httpbody_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from mesh.clock import SystemClock
from mesh.errors import RULES, Reason
from soma.assets.v1 import asset_service_pb2, asset_service_pb2_grpc
from soma.executor.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc
from svc_gateway.domain.edge import Cors
from tests.integration.gateway.conftest import EdgeUnderTest, Signer, encode, limits, segment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import httpx

JOBS = "/v1/multimodal/jobs"


@pytest.fixture(autouse=True)
def calm(edge: EdgeUnderTest) -> Iterator[None]:
    edge.upstream.fail = None
    edge.upstream.hold.set()
    edge.upstream.held.clear()
    before = edge.state
    yield
    if edge.state != before:
        edge.state = before
        edge.change()
    assert edge.rejected == []


def reason(answer: httpx.Response) -> str:
    body = answer.json()
    assert set(body) == {"code", "message", "details"}
    assert answer.headers["content-type"] == "application/json"
    info = body["details"][0]
    assert (info["@type"], info["domain"]) == ("type.googleapis.com/google.rpc.ErrorInfo", "soma")
    return str(info["reason"])


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def until(asked: object, within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not await asked():  # type: ignore[operator]  # noqa: ASYNC110 - another process tells of no event
            await asyncio.sleep(0.005)


# --- doors


def handshake(edge: EdgeUnderTest, version: ssl.TLSVersion, protocols: list[str]) -> tuple[str | None, str | None]:
    context = edge.trust
    context.maximum_version = version
    context.set_alpn_protocols(protocols)
    with (
        socket.create_connection(("127.0.0.1", edge.port), 5) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secured,
    ):
        return secured.version(), secured.selected_alpn_protocol()


async def test_tls_1_3_is_spoken_with_both_http_versions(edge: EdgeUnderTest) -> None:
    both = await asyncio.to_thread(handshake, edge, ssl.TLSVersion.TLSv1_3, ["h2", "http/1.1"])
    old = await asyncio.to_thread(handshake, edge, ssl.TLSVersion.TLSv1_3, ["http/1.1"])
    assert (both, old) == (("TLSv1.3", "h2"), ("TLSv1.3", "http/1.1"))


async def test_tls_1_2_is_refused(edge: EdgeUnderTest) -> None:
    with pytest.raises(ssl.SSLError):
        await asyncio.to_thread(handshake, edge, ssl.TLSVersion.TLSv1_2, ["h2"])


async def test_native_grpc_passes(edge: EdgeUnderTest) -> None:
    async with edge.channel() as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        metadata = (("authorization", f"Bearer {edge.signer.token()}"),)
        job = await stub.GetJob(job_service_pb2.GetJobRequest(job_id="a"), metadata=metadata)
        events = [
            event.sequence
            async for event in stub.WatchJob(job_service_pb2.WatchJobRequest(job_id="a"), metadata=metadata)
        ]
    assert (job.job_id, events) == ("a", [1, 2, 3])


async def test_native_grpc_streams_requests(edge: EdgeUnderTest) -> None:
    async def parts() -> AsyncIterator[asset_service_pb2.UploadAssetRequest]:
        for data in (b"ab", b"cd"):
            yield asset_service_pb2.UploadAssetRequest(content=httpbody_pb2.HttpBody(data=data))

    async with edge.channel() as channel:
        stub = asset_service_pb2_grpc.AssetServiceStub(channel)
        asset = await stub.UploadAsset(parts(), metadata=(("authorization", f"Bearer {edge.signer.token()}"),))
    assert asset.size_bytes == 4


async def test_grpc_web_passes(edge: EdgeUnderTest) -> None:
    message = job_service_pb2.GetJobRequest(job_id="web").SerializeToString()
    frame = b"\0" + len(message).to_bytes(4, "big") + message
    async with edge.client() as client:
        answer = await client.post(
            "/soma.executor.v1.JobService/GetJob",
            content=frame,
            headers={"content-type": "application/grpc-web+proto", "x-grpc-web": "1"},
        )
    size = int.from_bytes(answer.content[1:5], "big")
    assert job_pb2.Job.FromString(answer.content[5 : 5 + size]).job_id == "web"
    assert b"grpc-status:0" in answer.content[5 + size :]


async def test_native_grpc_is_refused_with_status_and_reason(edge: EdgeUnderTest) -> None:
    async with edge.channel() as channel:
        path = "/soma.executor.v1.JobService/Nothing"
        unknown: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        with pytest.raises(grpc.aio.AioRpcError) as lost:
            await unknown(b"")
        with pytest.raises(grpc.aio.AioRpcError) as nobody:
            await job_service_pb2_grpc.JobServiceStub(channel).GetJob(job_service_pb2.GetJobRequest(job_id="a"))
    assert (lost.value.code(), nobody.value.code()) == (
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.UNAUTHENTICATED,
    )
    assert "Authorization: Bearer" in str(nobody.value.details())
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(lost.value)  # type: ignore[arg-type]
    assert status is not None
    assert status.details[0].Unpack(info)
    assert info.reason == "ROUTE_NOT_FOUND"


# --- JSON


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
    trace = "0af7651916cd43dd8448eb211c80319c"
    sent = {
        "idempotency-key": "i-1", "last-event-id": "7", "x-request-id": "r-1",
        "traceparent": f"00-{trace}-b7ad6b7169203331-01",
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
    assert (answer.headers["x-trace-id"], answer.headers["x-request-id"]) == (trace, "r-1")


async def test_request_without_a_trace_gets_one(edge: EdgeUnderTest) -> None:
    async with edge.client() as client:
        answer = await client.get(JOBS)
    version, trace, span, flags = edge.upstream.metadata["traceparent"].split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert answer.headers["x-trace-id"] == trace


async def test_answers_carry_security_headers(edge: EdgeUnderTest) -> None:
    async with edge.client(authenticated=False) as client:
        for path in ("/v1/health", "/nowhere"):
            answer = await client.get(path)
            assert answer.headers["strict-transport-security"].startswith("max-age=")
            assert answer.headers["x-content-type-options"] == "nosniff"


# --- credentials


async def test_token_and_api_key_are_accepted(edge: EdgeUnderTest) -> None:
    token = edge.signer.token()
    sent = [bearer(token), bearer(f"soma_test_{token}"), {"x-api-key": f"soma_test_{token}"}]
    async with edge.client(authenticated=False) as client:
        assert [(await client.get(JOBS, headers=headers)).status_code for headers in sent] == [200] * 3


def forged(signer: Signer) -> dict[str, dict[str, str]]:
    head, body, signature = signer.token().split(".")
    stranger = Signer(SystemClock())
    unsigned = f"{segment({'alg': 'none', 'typ': 'JWT'})}.{body}."
    return {
        "nothing": {},
        "no token": bearer(""),
        "tampered": bearer(f"{head}.{segment({'iss': 'soma', 'aud': 'soma', 'exp': 9_999_999_999})}.{signature}"),
        "wrong signature": bearer(f"{head}.{body}.{encode(bytes(64))}"),
        "alg none": bearer(unsigned),
        "alg none as key": bearer(f"soma_test_{unsigned}"),
        "HS256": bearer(signer.token(header={"alg": "HS256"})),
        "another's key": bearer(stranger.token()),
        "another's key, our id": bearer(stranger.token(header={"kid": signer.kid})),
        "expired": bearer(signer.token(exp=1_700_000_000)),
        "without expiry": bearer(signer.token(exp=None)),
        "wrong audience": bearer(signer.token(aud="other")),
        "wrong issuer": bearer(signer.token(iss="other")),
        "another environment": bearer(f"soma_live_{signer.token()}"),
        "token as api key": {"x-api-key": signer.token()},
    }


async def test_bad_credentials_are_refused_before_any_service(edge: EdgeUnderTest) -> None:
    calls = edge.upstream.calls
    async with edge.client(authenticated=False) as client:
        for name, headers in forged(edge.signer).items():
            answer = await client.get(JOBS, headers=headers)
            assert (name, answer.status_code, reason(answer)) == (name, 401, "UNAUTHENTICATED")
            assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert edge.upstream.calls == calls


async def test_public_methods_need_no_credential(edge: EdgeUnderTest) -> None:
    async with edge.client(authenticated=False) as client:
        assert (await client.get("/v1/health")).status_code == 200
        assert (await client.get("/v1/health", headers=bearer("wrong"))).status_code == 401


async def test_revoked_key_is_refused_within_a_second(edge: EdgeUnderTest) -> None:
    others = frozenset(f"other-{number}" for number in range(2_000))
    async with edge.client() as client:
        assert (await client.get(JOBS)).status_code == 200
        edge.change(credentials=replace(edge.state.credentials, revoked=others | {"key-1"}))

        async def refused() -> bool:
            return (await client.get(JOBS)).status_code == 401

        await until(refused, within_s=1)
        answer = await client.get(JOBS)
        assert reason(answer) == "UNAUTHENTICATED"
        other = await client.get(JOBS, headers=bearer(edge.signer.token(jti="key-2")))
        assert other.status_code == 200


async def test_new_signing_keys_are_accepted_beside_old_ones(edge: EdgeUnderTest) -> None:
    other = Signer(SystemClock())
    both = {"keys": [*edge.signer.jwks["keys"], *other.jwks["keys"]]}  # type: ignore[misc]
    async with edge.client() as client:
        edge.change(credentials=replace(edge.state.credentials, jwks=json.dumps(both)))

        async def accepted() -> bool:
            return (await client.get(JOBS, headers=bearer(other.token()))).status_code == 200

        await until(accepted)
        assert (await client.get(JOBS)).status_code == 200


# --- refusals


async def test_every_reason_of_a_service_has_its_status(edge: EdgeUnderTest) -> None:
    async with edge.client() as client:
        for told, rule in RULES.items():
            edge.upstream.fail = told
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
        assert (await client.put(JOBS)).headers["allow"] == "GET, POST"


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
    answer = (await asyncio.wait_for(reader.read(65_536), 5)).decode()
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

        await until(limited, within_s=20)
        answers = [await client.get(JOBS) for _ in range(12)]
        answer = next(answer for answer in answers if answer.status_code == 429)
        assert reason(answer) == "RATE_LIMITED"
        assert (answer.headers["ratelimit-limit"], answer.headers["retry-after"]) == ("5", "1")
        other = await client.get(JOBS, headers=bearer(edge.signer.token(tenant="another")))
        assert other.status_code == 200


async def test_service_that_is_not_there_is_told_as_such(edge: EdgeUnderTest) -> None:
    async with edge.client() as client:
        answer = await client.get("/v1/budgets")
    assert (answer.status_code, reason(answer)) == (503, "UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"


async def test_call_over_its_time_is_ended(edge: EdgeUnderTest) -> None:
    edge.upstream.hold.clear()
    edge.change(limits=limits(unary_timeout_s=0.3))
    async with edge.client(http2=False) as client:

        async def ended() -> bool:
            answer = await client.get(f"{JOBS}/held")
            return answer.status_code == 504 and reason(answer) == "DEADLINE_EXCEEDED"

        await until(ended, within_s=15)


# --- changes


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

            await until(went_on, within_s=20)
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

        await until(allowed)
        other = await client.options(JOBS, headers={**asked, "origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_requests_are_logged_with_tenant_and_trace(edge: EdgeUnderTest) -> None:
    async with edge.client() as client:
        answer = await client.get(f"{JOBS}/logged?")
    trace = answer.headers["x-trace-id"]
    log = edge.engine._home.logs / "access.log"

    async def written() -> bool:
        return trace in log.read_text()

    await until(written, within_s=15)
    line = next(json.loads(line) for line in log.read_text().splitlines() if trace in line)
    assert (line["tenant"], line["key_id"], line["status"], line["path"]) == ("dev", "key-1", 200, f"{JOBS}/logged")
    assert line["route"] == "soma.executor.v1.JobService/GetJob"
