"""The wiring of the record."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING

from mesh.chassis import chassis
from mesh.events.event import ProtoCodec
from mesh.events.inbox import Consumer
from mesh.settings import load
from mesh.telemetry import gauge
from soma.events.v1.envelope_pb2 import Envelope
from soma.gateway.v1.identity_service_pb2 import WatchRevocationsRequest
from soma.gateway.v1.identity_service_pb2_grpc import ApiKeyServiceStub
from soma.provenance.v1.provenance_service_pb2_grpc import add_ProvenanceServiceServicer_to_server
from soma.provenance.v1.trace_service_pb2_grpc import add_TraceServiceServicer_to_server
from svc_provenance.adapters.postgres import PostgresRecord
from svc_provenance.app.lineage import Lineage
from svc_provenance.app.traces import Traces
from svc_provenance.events import TOPICS, Intake
from svc_provenance.rpc.lineage import ProvenanceServicer
from svc_provenance.rpc.trace import TraceServicer
from svc_provenance.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.lifecycle import Service

NAME = "provenance"


@asynccontextmanager
async def build(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Builds the record and undoes it in reverse."""
    settings = settings or load(Settings, NAME)
    config = resources.files("protos").joinpath("service_config.json").read_text()
    async with chassis(NAME, settings, codec=ProtoCodec(Envelope), service_config=config) as mesh:
        keys = ApiKeyServiceStub(await mesh.peer("gateway"))
        await mesh.follow_revocations(lambda: keys.WatchRevocations(WatchRevocationsRequest()))
        record = PostgresRecord(mesh.postgres)
        intake = Intake(record, mesh.ids)
        lag = gauge("consumer_lag", "Events that wait for a consumer group.", ("group",)).labels(NAME)
        consumer = Consumer(
            mesh.bus,
            mesh.postgres,
            mesh.codec,
            NAME,
            TOPICS,
            intake.handlers(),
            bury=intake.bury,
            clock=mesh.clock,
            on_lag=lag.set,
        )
        await mesh.enter(consumer)
        yield await mesh.serve(
            [
                (add_ProvenanceServiceServicer_to_server, ProvenanceServicer(Lineage(record))),
                (add_TraceServiceServicer_to_server, TraceServicer(Traces(record))),
            ]
        )
