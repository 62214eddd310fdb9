"""What a server tells of its recent calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from mesh.rpc.interceptors.metrics import SHORTEST_S
from mesh.rpc.statistics import HEADER, MAX_CALLS, CallStatistics, RecentCalls
from mesh.testing import FakeClock
from mesh.testing.contract import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Invoke = Callable[..., Awaitable[list[str]]]
    Sent = tuple[tuple[str, str], ...]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_figures_are_those_of_the_calls(clock: FakeClock) -> None:
    recent = RecentCalls(clock)
    for number in range(100):
        recent.add(number / 100, "INTERNAL" if number < 3 else "UNAVAILABLE" if number < 10 else "OK")
    assert recent.statistics() == CallStatistics(100, 0.94, 0.1, 0.07)


def test_callers_mistakes_are_no_errors_of_the_server(clock: FakeClock) -> None:
    recent = RecentCalls(clock)
    for code in ("INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "CANCELLED"):
        recent.add(0.1, code)
    assert recent.statistics().errors == 0


async def test_calls_are_forgotten_after_a_minute(clock: FakeClock) -> None:
    recent = RecentCalls(clock)
    recent.add(1, "OK")
    await clock.advance(61)
    assert recent.statistics() == CallStatistics()


def test_no_more_than_the_last_calls_are_kept(clock: FakeClock) -> None:
    recent = RecentCalls(clock)
    for _ in range(MAX_CALLS + 1):
        recent.add(1, "OK")
    assert recent.statistics().count == MAX_CALLS


def test_header_is_read_as_it_was_written() -> None:
    told = CallStatistics(7, 0.25, 0.5, 0.125)
    assert CallStatistics.from_metadata({HEADER: told.header()}) == told


@pytest.mark.parametrize(
    "value", ["", "count=1", "count=x;p95=1;errors=0;unavailable=0", "a=b;c", "count=1;p95=nan;errors=0;unavailable=0"]
)
def test_header_that_cannot_be_understood_says_nothing(value: str) -> None:
    assert CallStatistics.from_metadata({HEADER: value}) is None
    assert CallStatistics.from_metadata({}) is None


async def statistics_of(raw: grpc.aio.Channel) -> CallStatistics:
    check = raw.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    call = check(health_pb2.HealthCheckRequest())
    await call
    headers = {str(key): str(value) for key, value in await call.initial_metadata()}
    told = CallStatistics.from_metadata(headers)
    assert told is not None
    return told


async def test_server_tells_of_its_calls_with_its_health(
    raw: grpc.aio.Channel, invoke: Invoke, authorized: Sent
) -> None:
    for _ in range(3):
        await invoke(raw, "UnaryUnary", {"text": "hello"}, metadata=authorized)
    told = await statistics_of(raw)
    assert (told.count, told.errors) == (3, 0)


@pytest.mark.parametrize(("timeout_s", "counted"), [(0.05, 0), (SHORTEST_S * 1.2, 1)])
async def test_calls_that_were_given_too_little_time_do_not_tell_of_the_server(
    raw: grpc.aio.Channel, invoke: Invoke, authorized: Sent, timeout_s: float, counted: int
) -> None:
    await invoke(raw, "UnaryUnary", {"text": "hello"}, metadata=authorized)
    with pytest.raises(grpc.aio.AioRpcError):
        await invoke(raw, "UnaryUnary", {"behaviour": "wait"}, metadata=authorized, timeout=timeout_s)

    async def is_counted() -> bool:
        return (await statistics_of(raw)).count == 1 + counted

    await eventually(is_counted)
    assert (await statistics_of(raw)).unavailable == counted / (1 + counted)
