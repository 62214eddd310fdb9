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
from mesh.rpc.interceptors import version
from mesh.rpc.statistics import CallStatistics
from mesh.stores.postgres import SYSTEM
from svc_gateway.domain.degradation import Answer, Calls, UnknownHealthError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import redis.asyncio

    from mesh.stores.postgres import Postgres

    Probe = Callable[[], Awaitable[Answer | None]]
    HealthCheck = grpc.aio.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]

_VAULT_HEALTH = "/v1/sys/health?standbyok=true"
_TEMPORAL_SERVICE = "temporal.api.workflowservice.v1.WorkflowService"


def grpc_health(channel: grpc.aio.Channel, service: str = "") -> Probe:
    """Asks `grpc.health.v1`; a server of the mesh also tells its version, and how its calls went lately."""
    check = _check(channel)

    async def probe() -> Answer:
        call = check(health_pb2.HealthCheckRequest(service=service))
        try:
            answer = await call
            headers = {str(key): str(value) for key, value in await call.initial_metadata() or ()}
        except (grpc.aio.AioRpcError, SomaError) as error:
            raise _down("cannot be reached") from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise _down("says that it does not serve")
        statistics = CallStatistics.from_metadata(headers)
        calls = (
            None
            if statistics is None
            else Calls(statistics.count, statistics.p95_s, statistics.errors, statistics.unavailable)
        )
        return Answer(calls, headers.get(version.HEADER, ""))

    return probe


def without_address(context: str) -> Probe:
    """Says of a context whose address was not given that calls to it are refused."""

    async def probe() -> None:
        raise _down(f"has no address, so that calls to it are refused: set SA01_PEERS_{context.upper()}=host:port")

    return probe


def postgres_health(postgres: Postgres) -> Probe:
    """Asks the database, as long as the check takes: a slow answer is told from none."""

    async def probe() -> None:
        async with postgres.transaction(SYSTEM) as connection:
            await connection.fetchval("SELECT 1")

    return probe


def answers(ping: Callable[[], Awaitable[None]]) -> Probe:
    """Asks by a call that returns when the part answers."""

    async def probe() -> None:
        await ping()

    return probe


def dependency(context: str, channel: grpc.aio.Channel, name: str) -> Probe:
    """Asks a context about something that it depends on; UnknownHealthError when it does not say."""
    check = _check(channel)

    async def probe() -> None:
        call = check(health_pb2.HealthCheckRequest(service=health_name(name)))
        try:
            answer = await call
            trailers = {str(key): value for key, value in await call.trailing_metadata() or ()}
        except (grpc.aio.AioRpcError, SomaError) as error:
            lost = error.reason is not Reason.NOT_FOUND if isinstance(error, SomaError) else True
            raise UnknownHealthError(
                f"svc_{context} {'cannot be reached' if lost else 'has not judged it yet'}"
            ) from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise _down(str(trailers.get(REASON_KEY) or "is not well"))

    return probe


def dependency_of_all(channels: Mapping[str, grpc.aio.Channel], name: str) -> Probe:
    """Asks every context about something that each has of its own; well when it is everywhere."""
    probes = {context: dependency(context, channel, name) for context, channel in channels.items()}

    async def probe() -> None:
        answers = await asyncio.gather(*(each() for each in probes.values()), return_exceptions=True)
        result_of = dict(zip(probes, answers, strict=True))
        lost = [
            f"{context}: {result_of[context]}" for context in result_of if isinstance(result_of[context], SomaError)
        ]
        if lost:
            raise _down("; ".join(lost))
        for other in answers:
            if isinstance(other, BaseException):
                raise other

    return probe


def temporal_health(channel: grpc.aio.Channel) -> Probe:
    """Asks Temporal's frontend."""
    return grpc_health(channel, _TEMPORAL_SERVICE)


def valkey_health(client: redis.asyncio.Redis) -> Probe:
    """Sends a PING."""

    async def probe() -> None:
        try:
            await client.ping()
        except Exception as error:
            raise _down("cannot be reached") from error

    return probe


def vault_health(client: httpx.AsyncClient, address: str) -> Probe:
    """Asks whether the secret store is initialised, unsealed and active."""

    async def probe() -> None:
        try:
            answer = await client.get(f"{address}{_VAULT_HEALTH}")
        except httpx.HTTPError as error:
            raise _down("cannot be reached") from error
        if not answer.is_success:
            raise _down("is sealed or not active")

    return probe


def _check(channel: grpc.aio.Channel) -> HealthCheck:
    return channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )


def _down(reason: str) -> SomaError:
    return SomaError(Reason.DEPENDENCY_UNAVAILABLE, reason)
