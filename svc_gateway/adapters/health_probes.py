"""Health probes of the mesh's components."""

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
from svc_gateway.domain.degradation import ProbeResult, RecentCalls, UnknownHealthError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import redis.asyncio

    from svc_gateway.app.ports import Probe

    HealthCheck = grpc.aio.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]

_VAULT_HEALTH = "/v1/sys/health?standbyok=true"
_TEMPORAL_SERVICE = "temporal.api.workflowservice.v1.WorkflowService"


def grpc_probe(channel: grpc.aio.Channel, service: str = "") -> Probe:
    """Calls `grpc.health.v1`; a server of the mesh also reports its version and the statistics of its recent calls."""
    check = _check_method(channel)

    async def probe() -> ProbeResult:
        call = check(health_pb2.HealthCheckRequest(service=service))
        try:
            response = await call
            headers = {str(key): str(value) for key, value in await call.initial_metadata() or ()}
        except (grpc.aio.AioRpcError, SomaError) as error:
            raise _unhealthy("cannot be reached") from error
        if response.status != health_pb2.HealthCheckResponse.SERVING:
            raise _unhealthy("reports NOT_SERVING")
        statistics = CallStatistics.from_metadata(headers)
        calls = (
            None
            if statistics is None
            else RecentCalls(statistics.count, statistics.p95_s, statistics.errors, statistics.unavailable)
        )
        return ProbeResult(calls, headers.get(version.HEADER, ""))

    return probe


def no_address_probe(context: str) -> Probe:
    """Fails for a context without an address: calls to it are refused."""

    async def probe() -> None:
        raise _unhealthy(f"has no address, so that calls to it are refused: set SA01_PEERS_{context.upper()}=host:port")

    return probe


def ping_probe(ping: Callable[[], Awaitable[None]]) -> Probe:
    """Calls `ping`, which returns when the component responds."""

    async def probe() -> None:
        await ping()

    return probe


def dependency_probe(context: str, channel: grpc.aio.Channel, name: str) -> Probe:
    """Asks a context for the health of one of its dependencies; UnknownHealthError when it does not report it."""
    check = _check_method(channel)

    async def probe() -> None:
        call = check(health_pb2.HealthCheckRequest(service=health_name(name)))
        try:
            response = await call
            trailers = {str(key): value for key, value in await call.trailing_metadata() or ()}
        except (grpc.aio.AioRpcError, SomaError) as error:
            unreachable = error.reason is not Reason.NOT_FOUND if isinstance(error, SomaError) else True
            raise UnknownHealthError(
                f"svc_{context} {'cannot be reached' if unreachable else 'has not reported it yet'}"
            ) from error
        if response.status != health_pb2.HealthCheckResponse.SERVING:
            raise _unhealthy(str(trailers.get(REASON_KEY) or "is unhealthy"))

    return probe


def shared_dependency_probe(channels: Mapping[str, grpc.aio.Channel], name: str) -> Probe:
    """Asks every context for the health of a dependency that each has of its own; healthy when all of them are."""
    probes = {context: dependency_probe(context, channel, name) for context, channel in channels.items()}

    async def probe() -> None:
        results = await asyncio.gather(*(each() for each in probes.values()), return_exceptions=True)
        by_context = dict(zip(probes, results, strict=True))
        failures = [f"{context}: {result}" for context, result in by_context.items() if isinstance(result, SomaError)]
        if failures:
            raise _unhealthy("; ".join(failures))
        for result in results:
            if isinstance(result, BaseException):
                raise result

    return probe


def temporal_probe(channel: grpc.aio.Channel) -> Probe:
    """Calls the health service of Temporal's frontend."""
    return grpc_probe(channel, _TEMPORAL_SERVICE)


def valkey_probe(client: redis.asyncio.Redis) -> Probe:
    """Sends a PING."""

    async def probe() -> None:
        try:
            await client.ping()
        except Exception as error:
            raise _unhealthy("cannot be reached") from error

    return probe


def vault_probe(client: httpx.AsyncClient, address: str) -> Probe:
    """Checks that Vault is initialised, unsealed and active."""

    async def probe() -> None:
        try:
            response = await client.get(f"{address}{_VAULT_HEALTH}")
        except httpx.HTTPError as error:
            raise _unhealthy("cannot be reached") from error
        if not response.is_success:
            raise _unhealthy("is sealed or not active")

    return probe


def _check_method(channel: grpc.aio.Channel) -> HealthCheck:
    return channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )


def _unhealthy(reason: str) -> SomaError:
    return SomaError(Reason.DEPENDENCY_UNAVAILABLE, reason)
