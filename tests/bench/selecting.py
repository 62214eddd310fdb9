"""Selecting among a thousand capabilities at 500 calls a second: real selector, real registry, real Postgres."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soma.common.v1 import modality_pb2
from soma.registry.v1 import capability_pb2, capability_service_pb2
from soma.registry.v1.capability_service_pb2_grpc import CapabilityServiceStub
from soma.selector.v1 import selection_pb2
from soma.selector.v1.selector_service_pb2_grpc import SelectorServiceStub
from tests.bench import echo
from tests.bench.figures import Figure, latencies, percentile
from tests.bench.load import closed_loop, open_loop
from tests.bench.probes import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from tests.bench.echo import EchoBaseline
    from tests.bench.load import Caller, Load
    from tests.bench.probes import Histogram
    from tests.bench.rig import Rig

CAPABILITIES, TASK_TYPES, AT_ONCE = 1_000, 100, 16
RATE, SLOW, CALLERS = 500, 50, 16
ROUNDS, SECONDS = 3, 5
FREE, PAID = "bench_free", "bench_paid"
PART = "select"
GOALS = {0.95: "< 5", 0.99: "< 2 wanted"}
METHOD = {"service": "soma.selector.v1.SelectorService", "method": "Select", "code": "OK"}

Identity = list[tuple[str, str]]


def task_type(number: int) -> str:
    """Half of the task types cost nothing, the other half a little."""
    kind = number % TASK_TYPES
    return f"{PAID if kind % 2 else FREE}_{kind // 2}"


def capability(number: int) -> capability_pb2.Capability:
    """One of the thousand: ten serve each task type, from seven providers."""
    kind = task_type(number)
    prices = [capability_pb2.Price(unit=capability_pb2.PRICE_UNIT_CALL, micro_usd=1)] if kind.startswith(PAID) else []
    return capability_pb2.Capability(
        tool_id=f"bench{number}",
        provider=f"p{number % 7}",
        kind=capability_pb2.CAPABILITY_KIND_TOOL,
        modalities=[modality_pb2.MODALITY_DIAGRAM],
        task_types=[kind],
        price_list=capability_pb2.PriceList(prices=prices),
    )


async def identity(rig: Rig, tenant: str) -> Identity:
    """The metadata of a caller who may do everything in a tenant, which is made unless it is there."""
    key = rig.key if tenant == "dev" else await asyncio.to_thread(rig.tenant_key, tenant)
    return [("authorization", f"Bearer {key}")]


async def register(rig: Rig, who: Identity) -> None:
    """Registers the thousand."""
    places = asyncio.Semaphore(AT_ONCE)
    async with rig.direct("registry") as channel, asyncio.TaskGroup() as group:
        stub = CapabilityServiceStub(channel)

        async def one(number: int) -> None:
            request = capability_service_pb2.RegisterCapabilityRequest(capability=capability(number))
            async with places:
                await stub.RegisterCapability(request, metadata=who)

        for number in range(CAPABILITIES):
            group.create_task(one(number))


def calls(channel: grpc.aio.Channel, kind: str, identities: list[Identity]) -> list[Caller]:
    """Calls that ask for every task type of a kind in turn, as each of the identities in turn."""
    stub = SelectorServiceStub(channel)

    def caller(number: int) -> Caller:
        need = capability_service_pb2.Requirements(
            modality=modality_pb2.MODALITY_DIAGRAM, task_type=f"{kind}_{number % (TASK_TYPES // 2)}"
        )
        request = selection_pb2.SelectRequest(requirements=need)
        return lambda: stub.Select(request, metadata=identities[number % len(identities)])

    return [caller(number) for number in range(max(TASK_TYPES // 2, len(identities)))]


@asynccontextmanager
async def prepared(rig: Rig) -> AsyncIterator[tuple[grpc.aio.Channel, list[Identity]]]:
    """The selector with its thousand capabilities, heard from the registry, and sixteen tenants."""
    own = await identity(rig, "dev")
    await register(rig, own)
    tenants = [f"bench{number}" for number in range(CALLERS)]
    others = [await identity(rig, tenant) for tenant in tenants]
    async with rig.direct("selector") as channel:
        every = [*calls(channel, FREE, [own]), *calls(channel, PAID, others)]
        async with asyncio.timeout(30):
            # The last registrations reach the selector over its stream; until then calls are refused.
            while (await open_loop(every, RATE / 5, 1)).failed:
                continue
        yield channel, [own, *others]


@dataclass
class Round:
    """A load on the selector, and the echo right before it; processor times in ms a call."""

    echo: Load
    echo_cpu_ms: float
    load: Load
    cpu_ms: float
    served: Histogram
    chosen: Histogram

    @property
    def p95(self) -> float:
        """In seconds."""
        return percentile(self.load.latencies, 0.95)


async def once(rig: Rig, callers: list[Caller], rate: int) -> Round:
    """One round."""
    pid, modality = rig.context_pid("selector"), {"modality": "diagram"}
    echoed, echo_cpu_ms = await echo.paced(rate, SECONDS)
    await open_loop(callers, rate, 1)
    used = cpu_seconds(pid)
    served = rig.observed("selector", "rpc_server_seconds", METHOD)
    chosen = rig.observed("selector", "selector_seconds", modality)
    load = await open_loop(callers, rate, SECONDS)
    return Round(
        echo=echoed,
        echo_cpu_ms=echo_cpu_ms,
        load=load,
        cpu_ms=(cpu_seconds(pid) - used) * 1000 / max(len(load.latencies), 1),
        served=rig.observed("selector", "rpc_server_seconds", METHOD).since(served),
        chosen=rig.observed("selector", "selector_seconds", modality).since(chosen),
    )


async def at_rate(rig: Rig, name: str, callers: list[Caller], rate: int = RATE) -> list[Figure]:
    """Latencies seen by the caller, times measured inside, processor time, and what failed.

    Of several rounds the middle one by p95 is shown: others who share the machine make single ones slow.
    """
    rounds = sorted([await once(rig, callers, rate) for _ in range(ROUNDS)], key=lambda each: each.p95)
    middle = rounds[ROUNDS // 2]
    beside, load, cpu_ms = middle.echo, middle.load, middle.cpu_ms
    added = middle.p95 - percentile(beside.latencies, 0.95)
    return [
        *latencies(PART, name, load.latencies, beside.latencies, GOALS),
        Figure(PART, f"{name}, p95 beyond the echo's", added * 1000, "ms", goal=GOALS[0.95]),
        Figure(PART, f"{name}, p95 of the best round", rounds[0].p95 * 1000, "ms"),
        Figure(PART, f"{name}, p95 of the worst round", rounds[-1].p95 * 1000, "ms"),
        Figure(PART, f"{name}, served within (chain and all), mean", middle.served.mean * 1000, "ms"),
        Figure(PART, f"{name}, served within, p95 by buckets", middle.served.percentile(0.95) * 1000, "ms"),
        Figure(PART, f"{name}, the seven judgements, mean", middle.chosen.mean * 1000, "ms"),
        Figure(PART, f"{name}, processor time of the selector per call", cpu_ms, "ms", cpu_ms / middle.echo_cpu_ms),
        Figure(PART, f"{name}, answered", load.rate, "1/s", load.rate / beside.rate, goal=f"{rate}"),
        *(figure for each in rounds for figure in _failures(name, each.load)),
    ]


def _failures(name: str, load: Load) -> list[Figure]:
    return [Figure(PART, f"{name}, failed with {code}", count, "calls") for code, count in load.failures.items()]


async def measure(rig: Rig, baseline: EchoBaseline) -> list[Figure]:
    """Free capabilities, paid ones of one tenant (whose budget is one row) and of sixteen.

    First with the whole mesh on the same cores. Then provenance is paused and the events of the selections wait, so
    that the figures are the selector's and its Postgres' alone, as on a machine of their own.
    """
    figures: list[Figure] = []
    async with prepared(rig) as (channel, identities):
        free, paid = calls(channel, FREE, identities[:1]), calls(channel, PAID, identities[1:])
        figures += await at_rate(rig, f"whole mesh, free, {RATE}/s", free)
        with rig.paused("provenance"):
            figures += await at_rate(rig, f"free, {RATE}/s", free)
            for name, callers in (
                ("free", free),
                ("reserving in one tenant", calls(channel, PAID, identities[:1])),
                ("reserving in 16 tenants", paid),
            ):
                load = await closed_loop(callers[:CALLERS], 4)
                figures.append(Figure(PART, f"{name}, 16 callers", load.rate, "1/s", load.rate / baseline.full.rate))
                figures += _failures(name, load)
            figures += await at_rate(rig, f"reserving in 16 tenants, {SLOW}/s", paid, SLOW)
    return figures
