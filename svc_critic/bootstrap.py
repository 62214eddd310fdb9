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
from svc_critic.adapters.heuristics import heuristics
from svc_critic.adapters.metrics import PrometheusMetrics
from svc_critic.adapters.peers import AssetsPeer
from svc_critic.adapters.postgres import (
    RETENTION_RULES,
    PostgresErasureMarks,
    PostgresEvaluationStore,
    PostgresPendingErasures,
    PostgresRubricStore,
)
from svc_critic.app import EraseQuotes, Evaluate, EvaluationSlots, Evaluators, RubricUseCases
from svc_critic.context import CONTEXT, NAME
from svc_critic.events.consumed import AssetEventHandlers
from svc_critic.events.published import evaluation_done
from svc_critic.rpc import CriticServicer, RubricServicer
from svc_critic.settings import CriticSettings, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mesh.chassis import Chassis
    from mesh.lifecycle import Service

MIB = 1024 * 1024
_EVENT_BATCH_SIZE = 20
"""Events of one transaction: each of them locks its asset."""
_ERASE_INTERVAL_S = 2.0
_COUNT_INTERVAL_S = 60.0


def _max_per_tenant(workers: int) -> int:
    """Returns how many workers one tenant may use: so few that three tenants leave one to another."""
    return max(1, workers // 4)


def _limits(settings: CriticSettings) -> ProcessLimits:
    """Returns the limits of the processes that measure assets."""
    return ProcessLimits(
        processes=settings.workers,
        per_tenant=_max_per_tenant(settings.workers),
        cpu_s=settings.measure_cpu_s,
        time_s=settings.measure_time_s,
        memory_mb=settings.measure_memory_mb,
        idle_s=settings.worker_idle_s,
    )


async def _start_erasures(chassis: Chassis, metrics: PrometheusMetrics) -> None:
    """Starts the handlers of erased assets, and the removal of quotes of them from evaluations."""
    erase_quotes = EraseQuotes(PostgresPendingErasures(chassis.postgres), metrics, chassis.clock)

    async def run_every(name: str, action: Callable[[], Awaitable[None]], interval_s: float) -> None:
        async def run() -> None:
            while True:
                await action()
                await chassis.clock.sleep(interval_s)

        await chassis.enter(background(run, name, clock=chassis.clock))

    handlers = AssetEventHandlers(chassis.clock, PostgresErasureMarks).handlers()
    await chassis.consume(handlers, batch=_EVENT_BATCH_SIZE)
    await run_every("erase-quotes", erase_quotes, _ERASE_INTERVAL_S)
    await run_every("count-unfinished-erasures", erase_quotes.count_unfinished, _COUNT_INTERVAL_S)


@asynccontextmanager
async def build(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Builds the critic; on exit closes its parts in reverse order."""
    settings = settings or load(Settings, NAME)
    async with chassis(CONTEXT, settings) as mesh:
        await mesh.follow_keys()
        critic, metrics = settings.critic, PrometheusMetrics()
        await _start_erasures(mesh, metrics)
        await mesh.apply_retention(RETENTION_RULES, settings.retention.evaluations_days)
        pool = await mesh.process_pool(NAME, _limits(critic))
        rubrics = RubricUseCases(PostgresRubricStore(mesh.postgres, mesh.auditor), mesh.clock, mesh.ids)
        slots = FairSlots(
            "the critic",
            critic.workers,
            per_tenant=_max_per_tenant(critic.workers),
            reserved=critic.workers // 2,
            is_low_priority=mesh.cpu_usage.is_heavy,
        )
        evaluate = Evaluate(
            assets=AssetsPeer(AssetServiceStub(await mesh.peer("assets")), critic.max_asset_mb * MIB),
            rubrics=rubrics,
            evaluators=Evaluators(heuristics(pool, max(1, critic.workers // 2))),
            evaluations=PostgresEvaluationStore(mesh.postgres, mesh.outbox, evaluation_done),
            metrics=metrics,
            slots=EvaluationSlots(slots, _max_per_tenant(critic.workers)),
            clock=mesh.clock,
            ids=mesh.ids,
        )
        yield await mesh.serve(
            [
                (add_CriticServiceServicer_to_server, CriticServicer(evaluate)),
                (add_RubricServiceServicer_to_server, RubricServicer(rubrics)),
            ]
        )
