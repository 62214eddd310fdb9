"""The record of a database, and what writes its receipts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mesh.clock import SystemClock
from mesh.events.event import Event
from mesh.ids import SystemIds, derive
from mesh.rpc.wellknown import timestamp
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.audit import auditor
from soma.events.v1 import facts_pb2
from soma.executor.v1 import job_pb2
from svc_provenance.adapters.postgres.provenance import PostgresProvenanceStore
from svc_provenance.adapters.postgres.receipts import PostgresReceiptStore
from svc_provenance.adapters.postgres.retention import PostgresRetentionStore
from svc_provenance.app.receipts import JobKey, ReceiptOptions, ReceiptQueue, ReceiptWriter
from svc_provenance.domain.retention import RetentionDays
from svc_provenance.events.consumed.traces import TraceEventHandlers
from svc_provenance.rpc.convert.summaries import summary_from_proto

if TYPE_CHECKING:
    from google.protobuf.message import Message


NOW = datetime(2026, 11, 20, tzinfo=UTC)
IDS = SystemIds()
PLATFORM = RetentionDays(365, 90, 730, 30)


class ReceiptHarness:
    """The record of a database, and what writes its receipts."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self.provenance = PostgresProvenanceStore(postgres, summary_from_proto)
        self.store = PostgresReceiptStore(postgres)
        self.queue = ReceiptQueue(100, 50)
        self.clock = SystemClock()
        writing = ReceiptOptions(0.6, timedelta(hours=1))
        self.written = asyncio.Event()
        self.compacted = 0
        self.writer = ReceiptWriter(
            self.store, self.provenance, self.queue, writing, self.clock, on_written=lambda _: self.written.set()
        )
        self.retention = PostgresRetentionStore(postgres, PLATFORM, auditor("provenance"))

    def count_compacted(self) -> None:
        self.compacted += 1

    async def remaining(self) -> int:
        """Receipts that are to be written."""
        async with self.postgres.transaction(SYSTEM) as connection:
            return int(await connection.fetchval("SELECT count(*) FROM receipts_due"))

    async def tell(self, payload: Message, tenant: str = "acme") -> None:
        event = Event(IDS.new(), payload.DESCRIPTOR.full_name, "t", "k", tenant, NOW, payload.SerializeToString())
        async with self.postgres.transaction(tenant) as connection:
            await TraceEventHandlers(self.provenance).handlers()[event.type](connection, event)

    async def attempt(self, job_id: str, *, error: str = "", tenant: str = "acme") -> None:
        status = job_pb2.EXECUTION_STATUS_FAILED if error else job_pb2.EXECUTION_STATUS_SUCCEEDED
        made = job_pb2.Execution(
            execution_id=derive(job_id, "x"), job_id=job_id, step_id="a", attempt=1, tool_id="t", provider="p",
            status=status, error_code=error, cost_micro_usd=7, latency_ms=40,
        )  # fmt: skip
        await self.tell(facts_pb2.ExecutionFinished(execution=made), tenant)

    async def end(
        self, job_id: str, at: datetime = NOW, *, attempts: int = 1, tenant: str = "acme", message: str = ""
    ) -> None:
        step = job_pb2.Step(step_id="a", state=job_pb2.STEP_STATE_SUCCEEDED, attempts=attempts)
        job = job_pb2.Job(
            job_id=job_id, state=job_pb2.JOB_STATE_COMPLETED, steps=[step], end_time=timestamp(at), message=message
        )
        await self.tell(facts_pb2.JobChanged(job=job), tenant)

    async def job(self, number: int = 0, *, error: str = "", tenant: str = "acme") -> str:
        """A job that ended, with its receipt."""
        job_id = IDS.new()
        await self.attempt(job_id, error=error, tenant=tenant)
        await self.end(job_id, NOW + timedelta(seconds=number), tenant=tenant)
        await self.writer.write(JobKey(tenant, job_id))
        return job_id
