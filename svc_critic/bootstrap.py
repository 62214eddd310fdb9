"""The wiring of the critic."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.chassis import chassis
from mesh.fairness import FairSlots
from mesh.lifecycle import background
from mesh.processes import ProcessLimits
from mesh.settings import load
from soma.assets.v1.asset_service_pb2_grpc import AssetServiceStub
from soma.critic.v1.critic_service_pb2_grpc import add_CriticServiceServicer_to_server
from soma.critic.v1.rubric_pb2_grpc import add_RubricServiceServicer_to_server
from svc_critic.adapters.erasure import PostgresErasureMarks, PostgresErasures
from svc_critic.adapters.heuristics import heuristics
from svc_critic.adapters.metrics import PrometheusMeter
from svc_critic.adapters.peers import AssetsPeer
from svc_critic.adapters.postgres import PostgresEvaluations, PostgresRubrics
from svc_critic.adapters.retention import RULES
from svc_critic.app import EraseQuotes, Evaluate, EvaluationSlots, Evaluators, RubricUseCases
from svc_critic.context import CONTEXT, NAME
from svc_critic.events.assets import AssetEventHandlers
from svc_critic.rpc import CriticServicer, RubricServicer, evaluation_done
from svc_critic.settings import CriticSettings, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mesh.chassis import Chassis
    from mesh.lifecycle import Service

MIB = 1024 * 1024
_BATCH = 20
"""Events of one transaction: each locks the asset that it is about."""
_ERASE_EVERY_S = 2.0
_COUNT_EVERY_S = 60.0


def _share(workers: int) -> int:
    """Workers that one tenant may take: few enough that two or three leave one to another."""
    return max(1, workers // 4)


def _limits(own: CriticSettings) -> ProcessLimits:
    """Limits of measuring one asset."""
    return ProcessLimits(
        processes=own.workers,
        per_tenant=_share(own.workers),
        cpu_s=own.measure_cpu_s,
        time_s=own.measure_time_s,
        memory_mb=own.measure_memory_mb,
        idle_s=own.worker_idle_s,
    )


async def _erase_quotes(mesh: Chassis, meter: PrometheusMeter) -> None:
    """Hear of erased assets, and remove what verdicts quote of them."""
    erase_quotes = EraseQuotes(PostgresErasures(mesh.postgres), meter, mesh.clock)

    async def every(name: str, work: Callable[[], Awaitable[None]], pause_s: float) -> None:
        async def run() -> None:
            while True:
                await work()
                await mesh.clock.sleep(pause_s)

        await mesh.enter(background(run, name, clock=mesh.clock))

    handlers = AssetEventHandlers(mesh.clock, PostgresErasureMarks).handlers()
    await mesh.consume(handlers, batch=_BATCH)
    await every("erase-quotes", erase_quotes, _ERASE_EVERY_S)
    await every("count-unfinished-erasures", erase_quotes.count_unfinished, _COUNT_EVERY_S)


@asynccontextmanager
async def build(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Builds the critic and undoes it in reverse."""
    settings = settings or load(Settings, NAME)
    async with chassis(CONTEXT, settings) as mesh:
        await mesh.follow_keys()
        own, meter = settings.critic, PrometheusMeter()
        await _erase_quotes(mesh, meter)
        await mesh.apply_retention(RULES, settings.retention.evaluations_days)
        pool = await mesh.process_pool(NAME, _limits(own))
        rubrics = RubricUseCases(PostgresRubrics(mesh.postgres, mesh.auditor), mesh.clock, mesh.ids)
        slots = FairSlots(
            "the critic",
            own.workers,
            per_tenant=_share(own.workers),
            reserved=own.workers // 2,
            is_heavy=mesh.processor_use.is_heavy,
        )
        evaluate = Evaluate(
            assets=AssetsPeer(AssetServiceStub(await mesh.peer("assets")), own.max_asset_mb * MIB),
            rubrics=rubrics,
            evaluators=Evaluators(heuristics(pool, max(1, own.workers // 2))),
            evaluations=PostgresEvaluations(mesh.postgres, mesh.outbox, evaluation_done),
            meter=meter,
            slots=EvaluationSlots(slots, _share(own.workers)),
            clock=mesh.clock,
            ids=mesh.ids,
        )
        yield await mesh.serve(
            [
                (add_CriticServiceServicer_to_server, CriticServicer(evaluate)),
                (add_RubricServiceServicer_to_server, RubricServicer(rubrics)),
            ]
        )
