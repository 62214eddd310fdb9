"""The wiring of the critic."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING

from mesh.chassis import chassis
from mesh.events.event import ProtoCodec
from mesh.lifecycle import background
from mesh.settings import load
from soma.assets.v1.asset_service_pb2_grpc import AssetServiceStub
from soma.critic.v1.critic_service_pb2_grpc import add_CriticServiceServicer_to_server
from soma.critic.v1.rubric_pb2_grpc import add_RubricServiceServicer_to_server
from soma.events.v1.audit_pb2 import AuditRecorded
from soma.events.v1.envelope_pb2 import Envelope
from soma.gateway.v1.identity_service_pb2 import WatchRevocationsRequest
from soma.gateway.v1.identity_service_pb2_grpc import ApiKeyServiceStub
from svc_critic.adapters.heuristics import Bench, Reader, heuristics
from svc_critic.adapters.metrics import PrometheusMeter
from svc_critic.adapters.peers import AssetsPeer
from svc_critic.adapters.postgres import PostgresEvaluations, PostgresRubrics
from svc_critic.adapters.retention import RULES
from svc_critic.app import Evaluate, Evaluators, RubricBook
from svc_critic.rpc import CriticServicer, RubricServicer, evaluation_done
from svc_critic.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.lifecycle import Service

NAME = "critic"
MIB = 1024 * 1024


@asynccontextmanager
async def build(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Builds the critic and undoes it in reverse."""
    settings = settings or load(Settings, NAME)
    config = resources.files("protos").joinpath("service_config.json").read_text()
    codec = ProtoCodec(Envelope)
    async with chassis(NAME, settings, codec=codec, audit=AuditRecorded, service_config=config) as mesh:
        keys = ApiKeyServiceStub(await mesh.peer("gateway"))
        await mesh.follow_revocations(lambda: keys.WatchRevocations(WatchRevocationsRequest()))
        own = settings.critic
        reader = Reader(own.workers, idle_s=own.reader_idle_s, clock=mesh.clock)
        await mesh.enter(background(reader.keep, "idle-reader", clock=mesh.clock))
        await mesh.keep_short(RULES, settings.retention.evaluations_days)
        bench = await mesh.enter(Bench.open(own.workers))
        book = RubricBook(PostgresRubrics(mesh.postgres, mesh.auditor), mesh.clock, mesh.ids)
        evaluate = Evaluate(
            assets=AssetsPeer(AssetServiceStub(await mesh.peer("assets")), own.max_asset_mb * MIB),
            rubrics=book,
            evaluators=Evaluators(heuristics(bench, reader)),
            evaluations=PostgresEvaluations(mesh.postgres, mesh.outbox, evaluation_done),
            meter=PrometheusMeter(),
            clock=mesh.clock,
            ids=mesh.ids,
        )
        yield await mesh.serve(
            [
                (add_CriticServiceServicer_to_server, CriticServicer(evaluate)),
                (add_RubricServiceServicer_to_server, RubricServicer(book)),
            ]
        )
