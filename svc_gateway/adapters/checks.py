"""How each part of the mesh is asked whether it is well."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc.aio
import httpx
from grpc_health.v1 import health_pb2

from mesh.dependencies import health_name
from mesh.errors import Reason, SomaError
from mesh.health import REASON_KEY
from mesh.rpc.statistics import CallStatistics
from mesh.stores.postgres import SYSTEM
from svc_gateway.domain.degradation import Calls, UntoldError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import redis.asyncio

    from mesh.stores.postgres import Postgres

    Ask = Callable[[], Awaitable[Calls | None]]
    HealthCheck = grpc.aio.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]

_VAULT_HEALTH = "/v1/sys/health?standbyok=true"
_TEMPORAL_SERVICE = "temporal.api.workflowservice.v1.WorkflowService"


def grpc_health(channel: grpc.aio.Channel, service: str = "") -> Ask:
    """Asks `grpc.health.v1`; a server of the mesh also tells how its calls went lately."""
    check = _check(channel)

    async def ask() -> Calls | None:
        call = check(health_pb2.HealthCheckRequest(service=service))
        try:
            answer = await call
            headers = {str(key): str(value) for key, value in await call.initial_metadata() or ()}
        except (grpc.aio.AioRpcError, SomaError) as error:
            raise _down("cannot be reached") from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise _down("says that it does not serve")
        told = CallStatistics.from_metadata(headers)
        return None if told is None else Calls(told.count, told.p95_s, told.errors, told.unavailable)

    return ask


def postgres_health(postgres: Postgres) -> Ask:
    """Asks the database, as long as the check takes: a slow answer is told from none."""

    async def ask() -> None:
        async with postgres.transaction(SYSTEM) as connection:
            await connection.fetchval("SELECT 1")

    return ask


def answers(ping: Callable[[], Awaitable[None]]) -> Ask:
    """Asks by a call that returns when the part answers."""

    async def ask() -> None:
        await ping()

    return ask


def dependency(context: str, channel: grpc.aio.Channel, name: str) -> Ask:
    """Asks a context about something that it depends on; UntoldError when it does not say."""
    check = _check(channel)

    async def ask() -> None:
        call = check(health_pb2.HealthCheckRequest(service=health_name(name)))
        try:
            answer = await call
            trailers = {str(key): value for key, value in await call.trailing_metadata() or ()}
        except (grpc.aio.AioRpcError, SomaError) as error:
            lost = error.reason is not Reason.NOT_FOUND if isinstance(error, SomaError) else True
            raise UntoldError(f"svc_{context} {'cannot be reached' if lost else 'has not judged it yet'}") from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise _down(str(trailers.get(REASON_KEY) or "is not well"))

    return ask


def dependency_of_all(channels: Mapping[str, grpc.aio.Channel], name: str) -> Ask:
    """Asks every context about something that each has of its own; well when it is everywhere."""
    asks = {context: dependency(context, channel, name) for context, channel in channels.items()}

    async def ask() -> None:
        answers = await asyncio.gather(*(each() for each in asks.values()), return_exceptions=True)
        told = dict(zip(asks, answers, strict=True))
        lost = [f"{context}: {told[context]}" for context in told if isinstance(told[context], SomaError)]
        if lost:
            raise _down("; ".join(lost))
        for other in answers:
            if isinstance(other, BaseException):
                raise other

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


def _check(channel: grpc.aio.Channel) -> HealthCheck:
    return channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )


def _down(reason: str) -> SomaError:
    return SomaError(Reason.DEPENDENCY_UNAVAILABLE, reason)
