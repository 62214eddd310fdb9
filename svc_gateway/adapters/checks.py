"""How each part of the mesh is asked whether it is well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc.aio
import httpx
from grpc_health.v1 import health_pb2

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import redis.asyncio

    Ask = Callable[[], Awaitable[None]]

_VAULT_HEALTH = "/v1/sys/health?standbyok=true"
_TEMPORAL_SERVICE = "temporal.api.workflowservice.v1.WorkflowService"


def grpc_health(channel: grpc.aio.Channel, service: str = "") -> Ask:
    """Asks `grpc.health.v1`."""
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )

    async def ask() -> None:
        try:
            answer = await check(health_pb2.HealthCheckRequest(service=service))
        except (grpc.aio.AioRpcError, SomaError) as error:
            raise _down("cannot be reached") from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise _down("says that it does not serve")

    return ask


def temporal_health(channel: grpc.aio.Channel) -> Ask:
    """Asks Temporal's frontend."""
    return grpc_health(channel, _TEMPORAL_SERVICE)


def valkey_health(client: redis.asyncio.Redis) -> Ask:
    """Sends a PING."""

    async def ask() -> None:
        try:
            await client.ping()
        except Exception as error:
            raise _down("cannot be reached") from error

    return ask


def vault_health(client: httpx.AsyncClient, address: str) -> Ask:
    """Asks whether the secret store is initialised, unsealed and active."""

    async def ask() -> None:
        try:
            answer = await client.get(f"{address}{_VAULT_HEALTH}")
        except httpx.HTTPError as error:
            raise _down("cannot be reached") from error
        if not answer.is_success:
            raise _down("is sealed or not active")

    return ask


def _down(reason: str) -> SomaError:
    return SomaError(Reason.DEPENDENCY_UNAVAILABLE, reason)
