"""A tenant that opens many slow uploads, calls or streams shuts out nobody but itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
from prometheus_client import REGISTRY

from mesh.context import Caller
from mesh.errors import QuotaViolation, Reason, SomaError
from mesh.identity import SERVICE_ROLE, SYSTEM_TENANT, Claims
from mesh.rpc.interceptor import Access, Call, MethodInfo
from mesh.rpc.interceptors.admission import TRANSCODED_KEY, Admission, TenantLimits
from mesh.settings import ServerSettings
from mesh.testing import FakeClock, Issuer, served
from mesh.testing.contract import eventually
from mesh.testing.tokens import BOB
from soma.assets.v1 import asset_service_pb2 as _assets  # noqa: F401 - puts its contract into the pool
from soma.executor.v1 import job_service_pb2 as _jobs  # noqa: F401 - puts its contract into the pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.testing import RunningServer
    from tests.unit.mesh.rpc.conftest import Dynamic, Invoke

SETTINGS = ServerSettings(
    max_concurrent_calls=8,
    max_concurrent_streams=8,
    max_concurrent_uploads=4,
    tenant_share=0.5,
    tenant_uploads=2,
    drain_seconds=0,
    stream_drain_seconds=0,
)
SERVICE = Claims(SYSTEM_TENANT, "spiffe://soma/executor", (SERVICE_ROLE,))


class Hostile:
    """A tenant that opens calls which do not end by themselves, and notes how each was refused."""

    def __init__(self, probe: Dynamic, servicer: Dynamic, channel: grpc.aio.Channel) -> None:
        self._probe = probe
        self._servicer = servicer
        self._stub = probe.grpc.ProbeStub(channel)
        self._calls: list[asyncio.Task[Reason | None]] = []
        self._refusals: list[SomaError] = []

    @property
    def refusals(self) -> list[SomaError]:
        """How those were refused that were."""
        return self._refusals

    async def open(self, kind: str, count: int) -> list[Reason | None]:
        """Open so many calls; gives the refusals of those that ended."""
        self._calls += [asyncio.ensure_future(self._one(kind)) for _ in range(count)]
        await eventually(lambda: len(self._served) + len(self._ended()) == len(self._calls))
        return [each.result() for each in self._ended()]

    @property
    def _served(self) -> list[object]:
        return list(self._servicer.seen.contexts)

    def _ended(self) -> list[asyncio.Task[Reason | None]]:
        return [each for each in self._calls if each.done()]

    async def _one(self, kind: str) -> Reason | None:
        ask = self._probe.pb2.Ask(behaviour="" if kind.startswith("Stream") else "wait")

        async def slowly() -> AsyncIterator[Dynamic]:
            yield ask
            await asyncio.Event().wait()

        outcome = getattr(self._stub, kind)(slowly() if kind.startswith("Stream") else ask)
        try:
            if kind.endswith("Stream"):
                async for _ in outcome:
                    pass
            else:
                await outcome
        except SomaError as error:
            self._refusals.append(error)
            return error.reason
        return None

    async def leave(self) -> None:
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)


@asynccontextmanager
async def beside(
    probe: Dynamic, servicer: Dynamic, caller: Claims = BOB, settings: ServerSettings = SETTINGS
) -> AsyncIterator[tuple[RunningServer, Hostile]]:
    """A small server, and somebody who is hostile to it."""
    async with served([(probe.grpc.add_ProbeServicer_to_server, servicer)], settings=settings) as running:
        hostile = Hostile(probe, servicer, await running.channel_as(caller))
        try:
            yield running, hostile
        finally:
            await hostile.leave()


@pytest.mark.parametrize(("kind", "share"), [("StreamUnary", 2), ("UnaryUnary", 4), ("UnaryStream", 4)])
async def test_one_tenant_gets_no_more_than_its_share(
    kind: str, share: int, probe: Dynamic, servicer: Dynamic, invoke: Invoke
) -> None:
    async with beside(probe, servicer) as (running, hostile):
        refused = await hostile.open(kind, 12)
        assert refused == [Reason.OVERLOADED] * (12 - share)
        for innocent in ("UnaryUnary", "StreamUnary", "UnaryStream"):
            assert await invoke(running.channel, innocent, {"text": "hi"})


FEW = SETTINGS.model_copy(update={"tenant_event_streams": 3})


async def test_one_tenant_watches_no_more_than_its_number_of_streams(
    probe: Dynamic, servicer: Dynamic, invoke: Invoke
) -> None:
    async with beside(probe, servicer, settings=FEW) as (running, hostile):
        assert await hostile.open("UnaryStream", 9) == [Reason.OVERLOADED] * 6
        refused = hostile.refusals[0]
        assert (refused.status_mapping.grpc_code, refused.retry_after_s) == ("RESOURCE_EXHAUSTED", 1.0)
        assert refused.quotas == (QuotaViolation("tenant:event_streams", "3 may be open at once"),)
        assert await invoke(running.channel, "UnaryStream", {"text": "hi"})
        assert await invoke(await running.channel_as(BOB), "UnaryUnary", {"text": "hi"})
        await hostile.leave()
        again = await running.channel_as(BOB)

        async def served_again() -> bool:
            try:
                return bool(await invoke(again, "UnaryStream", {"text": "hi"}))
            except SomaError:
                return False

        await eventually(served_again)


async def test_own_streams_of_services_are_bounded_in_total_only(probe: Dynamic, servicer: Dynamic) -> None:
    async with beside(probe, servicer, SERVICE, FEW) as (_, services):
        assert await services.open("UnaryStream", 8) == []
        assert await services.open("UnaryStream", 1) == [Reason.OVERLOADED]


async def test_downloads_do_not_count_as_event_streams() -> None:
    admission = Admission(8, 8, tenant=TenantLimits(event_streams=1))
    caller = Caller("acme", "alice", (), (), "key", "token")
    entered, refused = Counter[str](), Counter[str]()

    async def opened(service: str, name: str) -> None:
        method = MethodInfo(
            service, name, request_streaming=False, response_streaming=True, access=Access("x", public=False)
        )
        call = Call(method, None, context=None, metadata={}, caller=caller)  # type: ignore[arg-type]

        async def continuation(_: Call) -> None:
            entered[name] += 1
            await asyncio.Event().wait()

        try:
            await admission.intercept(call, continuation)
        except SomaError:
            refused[name] += 1

    methods = [("soma.assets.v1.AssetService", "DownloadAsset"), ("soma.executor.v1.JobService", "WatchJob")]
    tasks = [asyncio.ensure_future(opened(*method)) for method in methods for _ in range(3)]
    try:
        await eventually(lambda: entered.total() + refused.total() == len(tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert (entered, refused) == ({"DownloadAsset": 3, "WatchJob": 1}, {"WatchJob": 2})


async def test_refused_tenant_is_served_again_when_its_calls_have_ended(
    probe: Dynamic, servicer: Dynamic, invoke: Invoke
) -> None:
    async with beside(probe, servicer) as (running, hostile):
        await hostile.open("StreamUnary", 3)
        await hostile.leave()
        channel = await running.channel_as(BOB)

        async def served_again() -> bool:
            try:
                return bool(await invoke(channel, "StreamUnary", {"text": "hi"}))
            except SomaError:
                return False

        await eventually(served_again)


async def open_events(channel: grpc.aio.Channel, probe: Dynamic, token: str, *headers: tuple[str, str]) -> float:
    """The event streams that are counted while one more stream is open."""
    metadata = (("authorization", f"Bearer {token}"), *headers)
    call = probe.grpc.ProbeStub(channel).UnaryStream(probe.pb2.Ask(behaviour="wait"), metadata=metadata)
    await call.read()
    counted = REGISTRY.get_sample_value("gateway_sse_connections", {"method": "probe.v1.Probe/UnaryStream"})
    call.cancel()
    return counted or 0.0


async def test_only_streams_of_rest_clients_count_as_event_streams(
    probe: Dynamic, servicer: Dynamic, server: RunningServer
) -> None:
    token = await server.issuer.token()
    async with grpc.aio.insecure_channel(server.address) as channel:
        assert await open_events(channel, probe, token) == 0
        assert await open_events(channel, probe, token, (TRANSCODED_KEY, "/v1/things:watch")) == 1
        await servicer.seen.cancelled.wait()

        async def none_is_open() -> bool:
            return await open_events(channel, probe, token) == 0

        await eventually(none_is_open)


async def test_own_calls_of_services_have_no_share(probe: Dynamic, servicer: Dynamic) -> None:
    async with beside(probe, servicer, SERVICE) as (_, services):
        assert await services.open("UnaryUnary", 8) == []
        assert await services.open("UnaryUnary", 1) == [Reason.OVERLOADED]


async def test_uploads_of_all_tenants_together_leave_room_for_calls(
    probe: Dynamic, servicer: Dynamic, invoke: Invoke
) -> None:
    async with beside(probe, servicer, SERVICE) as (running, many):
        assert await many.open("StreamUnary", 6) == [Reason.OVERLOADED] * 2
        assert await invoke(running.channel, "UnaryUnary", {"text": "hi"})


async def test_upload_that_brings_nothing_ends_with_its_grace(probe: Dynamic, servicer: Dynamic) -> None:
    clock = FakeClock()
    settings = SETTINGS.model_copy(update={"upload_grace_s": 30.0, "upload_bytes_per_s": 1})
    issuer = await Issuer.create(clock)
    registration = (probe.grpc.add_ProbeServicer_to_server, servicer)
    async with (
        served([registration], settings=settings, clock=clock, issuer=issuer) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        metadata = (("authorization", f"Bearer {await issuer.token(SERVICE)}"),)
        call = probe.grpc.ProbeStub(channel).StreamUnary(metadata=metadata)
        await call.write(probe.pb2.Ask(text="x" * 8))  # 10 bytes: ten seconds more
        await servicer.seen.started.wait()
        assert await clock.sleeper() == 40
        await clock.advance(39)
        assert not call.done()
        await clock.advance(1)
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_time_that_the_server_takes_does_not_count(probe: Dynamic, servicer: Dynamic) -> None:
    clock = FakeClock()
    settings = SETTINGS.model_copy(update={"upload_grace_s": 30.0})
    issuer = await Issuer.create(clock)
    registration = (probe.grpc.add_ProbeServicer_to_server, servicer)
    async with (
        served([registration], settings=settings, clock=clock, issuer=issuer) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        metadata = (("authorization", f"Bearer {await issuer.token(ttl_s=7_200)}"),)
        call = probe.grpc.ProbeStub(channel).StreamUnary(metadata=metadata)
        await call.write(probe.pb2.Ask(behaviour="wait"))
        await servicer.seen.started.wait()
        await clock.advance(3_600)
        assert not call.done()
        call.cancel()
