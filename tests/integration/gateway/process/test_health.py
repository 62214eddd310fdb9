"""What the gateway tells of itself and of the mesh."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
from google.protobuf import json_format
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from mesh.contexts import installed
from tests.integration.gateway.process.rig import ROOT, Mesh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def test_health_names_what_is_lost(mesh: Mesh) -> None:
    contexts = {f"svc_{context.name}" for context in installed()}
    without_address = contexts - {"svc_gateway", "svc_registry"}
    assert without_address
    async with mesh.client("") as client:
        client.headers = httpx.Headers()

        async def lost() -> set[str]:
            return set((await client.get("/v1/health")).json()["unhealthy_components"])

        async def judged() -> bool:
            return await lost() >= {"svc_registry", *without_address}

        await mesh.until(judged)
        assert await lost() == {"svc_registry", *without_address}
        status = (await client.get("/v1/health")).json()
    assert status["level"] == "DEGRADATION_LEVEL_SEVERE"
    async with mesh.client() as client:
        parts = {part["name"]: part for part in (await client.get("/v1/health/components")).json()["components"]}
    assert set(parts) == {"postgres", "valkey", "bus", "vault", "outbox", "providers", *contexts}
    assert parts["postgres"]["state"] == "COMPONENT_STATE_HEALTHY"
    assert parts["bus"]["state"] == "COMPONENT_STATE_HEALTHY"
    assert parts["svc_registry"]["reason"] == "cannot be reached"
    for name in without_address:
        variable = f"SA01_PEERS_{name.removeprefix('svc_').upper()}"
        assert parts[name]["reason"].endswith(f"set {variable}=host:port"), name
    assert parts["providers"]["state"] == "COMPONENT_STATE_UNKNOWN"
    assert parts["providers"]["reason"] == "svc_registry cannot be reached"


async def test_status_is_streamed(mesh: Mesh) -> None:
    async with mesh.client() as client, client.stream("GET", "/v1/health/events") as stream:
        line = await anext(stream.aiter_lines())
    assert stream.headers["content-type"] == "text/event-stream"
    assert json.loads(line.removeprefix("data: "))["level"].startswith("DEGRADATION_LEVEL_")


async def test_openapi_and_keys_are_public(mesh: Mesh) -> None:
    async with mesh.client("") as client:
        client.headers = httpx.Headers()
        document = await client.get("/openapi.json")
        keys = await client.get("/.well-known/jwks.json")
    assert document.json() == json.loads((ROOT / "gen" / "openapi" / "openapi.json").read_text())
    assert {key["kty"] for key in keys.json()["keys"]} == {"OKP"}
    assert all("d" not in key for key in keys.json()["keys"])


async def test_reflection_lists_every_service_through_the_edge(mesh: Mesh) -> None:
    async def requests() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    async with mesh.channel() as channel:
        ask = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        answer = await anext(aiter(ask(requests())))
    names = {service.name for service in answer.list_services_response.service}
    assert {"soma.executor.v1.JobService", "soma.registry.v1.CapabilityService", "grpc.health.v1.Health"} <= names


async def test_health_of_each_service_is_told_through_the_edge(mesh: Mesh) -> None:
    async with mesh.channel() as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

        async def status(service: str) -> str:
            answer = await check(health_pb2.HealthCheckRequest(service=service))
            return str(json_format.MessageToDict(answer)["status"])

        async def told() -> bool:
            return await status("soma.gateway.v1.ApiKeyService") == "SERVING"

        await mesh.until(told)
        assert await status("") == "SERVING"
        assert await status("soma.registry.v1.CapabilityService") == "NOT_SERVING"
