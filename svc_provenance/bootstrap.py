"""The wiring of the record."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh import durable
from mesh.chassis import chassis
from mesh.lifecycle import background
from mesh.settings import load
from mesh.stores import blobs
from mesh.stores.retention import Retention, Task
from mesh.telemetry import counter, gauge
from soma.provenance.v1.audit_service_pb2_grpc import add_AuditServiceServicer_to_server
from soma.provenance.v1.dead_letter_service_pb2_grpc import add_DeadLetterServiceServicer_to_server
from soma.provenance.v1.provenance_service_pb2_grpc import add_ProvenanceServiceServicer_to_server
from soma.provenance.v1.receipt_service_pb2_grpc import add_ReceiptServiceServicer_to_server
from soma.provenance.v1.trace_service_pb2_grpc import add_TraceServiceServicer_to_server
from svc_provenance.adapters.audit_anchors import BlobAnchors, TransitSignatures
from svc_provenance.adapters.policy import PromptPolicy
from svc_provenance.adapters.postgres import dead_letters as dead_letter_rows
from svc_provenance.adapters.postgres.audit import PostgresAudit, append
from svc_provenance.adapters.postgres.dead_letter_claims import DeadLetterClaims
from svc_provenance.adapters.postgres.dead_letters import CHANNEL as LETTERS
from svc_provenance.adapters.postgres.dead_letters import PostgresDeadLetters
from svc_provenance.adapters.postgres.receipts import CHANNEL as RECEIPTS_DUE
from svc_provenance.adapters.postgres.receipts import PostgresReceipts
from svc_provenance.adapters.postgres.record import PostgresRecord
from svc_provenance.adapters.postgres.retention import RULES, PostgresTerms
from svc_provenance.adapters.postgres.staged_audit_entries import CHANNEL as AUDIT_PENDING
from svc_provenance.adapters.postgres.staged_audit_entries import PendingEntries, stage
from svc_provenance.adapters.postgres.trace_notifications import CHANNEL as TRACE_FACTS
from svc_provenance.adapters.postgres.trace_notifications import TraceNotifications
from svc_provenance.adapters.requeue_signaller import RequeueSignaller
from svc_provenance.app.anchoring import Anchorer, AnchorSchedule, AuditMaintenance
from svc_provenance.app.audit import Audit
from svc_provenance.app.dead_letters import AdvanceDeadLetter, DeadLetters
from svc_provenance.app.lineage import Lineage
from svc_provenance.app.receipts import JobKey, ReceiptOptions, ReceiptQueue, Receipts, ReceiptWriter
from svc_provenance.app.retention import RetentionDays
from svc_provenance.app.staged_audit import PendingAudit
from svc_provenance.app.traces import Traces
from svc_provenance.app.watch import WatchTraces
from svc_provenance.context import CONTEXT, NAME
from svc_provenance.domain.dead_letters import RequeuePolicy
from svc_provenance.domain.retention import Days
from svc_provenance.events.consumed.audit import AuditEventHandlers
from svc_provenance.events.consumed.dead_letters import DeadLetterEventHandlers
from svc_provenance.events.consumed.selections import SelectionEventHandlers
from svc_provenance.events.consumed.traces import TraceEventHandlers
from svc_provenance.rpc.audit_service import AuditServicer
from svc_provenance.rpc.convert.summaries import summary_from_proto
from svc_provenance.rpc.convert.traces import snapshot_to_proto
from svc_provenance.rpc.dead_letter_service import DeadLetterServicer
from svc_provenance.rpc.provenance_service import ProvenanceServicer
from svc_provenance.rpc.receipt_service import ReceiptServicer
from svc_provenance.rpc.trace_service import TraceServicer
from svc_provenance.settings import DeadLetterSettings, ReceiptSettings, Settings
from svc_provenance.workflows.requeue import RequeueActivities, workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from mesh.chassis import Chassis
    from mesh.events.inbox import Handlers
    from mesh.lifecycle import Service
    from mesh.rpc.registrar import Registration


@asynccontextmanager
async def build(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Builds the record and undoes it in reverse."""
    settings = settings or load(Settings, NAME)
    async with chassis(CONTEXT, settings) as mesh:
        await mesh.follow_keys()
        record = PostgresRecord(mesh.postgres, summary_from_proto)
        await _consume(mesh, settings, _intake(mesh, record))
        days, undecided = Days(**settings.retention.model_dump()), settings.dead_letters.undecided_days
        terms = PostgresTerms(mesh.postgres, days, mesh.auditor, undecided_days=undecided)
        receipts = await _receipts(mesh, settings.receipts, record, terms)
        traces = await _traces(mesh, record)
        audit, maintenance = await _audit(mesh, settings, terms)
        await _retention(mesh, terms, maintenance)
        dead_letters = await _dead_letters(mesh, settings)
        yield await mesh.serve(
            [
                receipts,
                (add_ProvenanceServiceServicer_to_server, ProvenanceServicer(Lineage(record))),
                traces,
                audit,
                dead_letters,
            ]
        )


async def _consume(mesh: Chassis, settings: Settings, intake: TraceEventHandlers) -> None:
    """Takes everything in."""
    audited = AuditEventHandlers(append, on_redacted=_count_redactions())
    selections = SelectionEventHandlers(intake.selection_made, stage)
    dead_letters = DeadLetterEventHandlers(dead_letter_rows, _requeue_policy(settings.dead_letters), mesh.clock)
    handlers: Handlers = {**intake.handlers(), **selections.handlers(), **audited.handlers(), **dead_letters.handlers()}
    await mesh.consume(handlers, keep=dead_letters.keep)


def _intake(mesh: Chassis, record: PostgresRecord) -> TraceEventHandlers:
    """Takes facts in, redacted as policy says."""
    prompts = PromptPolicy(mesh.policy)
    return TraceEventHandlers(record, full_prompt=prompts.full_prompt, on_redacted=_count_redactions())


def _count_redactions() -> Callable[[Mapping[str, int]], None]:
    redacted = counter("redactions_total", "Values that were taken out of what is kept.", ("kind",))

    def count(found: Mapping[str, int]) -> None:
        for kind, number in found.items():
            redacted.labels(kind).inc(number)

    return count


async def _audit(mesh: Chassis, settings: Settings, terms: PostgresTerms) -> tuple[Registration, Task]:
    """Serves audit chains and anchors them while the chassis is open; with what keeps their table tidy."""
    own = settings.audit
    store = PostgresAudit(mesh.postgres)
    anchors = BlobAnchors(await mesh.enter(blobs.open(settings.blobs)))
    signatures = TransitSignatures(mesh.transit, mesh.clock)
    made = counter("audit_anchors_total", "Anchors of audit chains that were made.").labels()
    conflicts = counter(
        "audit_anchor_conflicts_total", "Heads of audit chains that are not what an anchor of their place says."
    ).labels()
    due = gauge("audit_chains_due", "Audit chains whose newest entries should have an anchor.").labels()
    pace = AnchorSchedule(own.anchor_entries, own.anchor_every_s, own.anchor_poll_interval_s)
    anchorer = Anchorer(
        store, anchors, signatures, pace, mesh.clock, on_made=made.inc, on_conflict=conflicts.inc, on_due=due.set
    )

    async def longest_days() -> int:
        return (await terms.terms())["audit"].longest

    maintenance = AuditMaintenance(store, signatures, longest_days, mesh.clock)
    await mesh.enter(background(anchorer.work, "audit-anchors", clock=mesh.clock))
    pending = PendingAudit(PendingEntries(mesh.postgres))
    await mesh.enter(mesh.postgres.listen(f"{mesh.postgres.schema}.{AUDIT_PENDING}", pending.on_notification))
    await mesh.enter(background(pending.work, "audit-pending", clock=mesh.clock))
    servicer = AuditServicer(Audit(store, anchors, signatures))
    return (add_AuditServiceServicer_to_server, servicer), Task("audit_events", "audit", lambda *_: maintenance.run())


async def _traces(mesh: Chassis, record: PostgresRecord) -> Registration:
    """Serves traces, and listens for their facts while the chassis is open."""
    notifications = TraceNotifications()
    await mesh.enter(mesh.postgres.listen(f"{mesh.postgres.schema}.{TRACE_FACTS}", notifications.on_notification))
    traces = Traces(record)
    watch = WatchTraces(traces, snapshot_to_proto, notifications.for_job, mesh.clock)
    return add_TraceServiceServicer_to_server, TraceServicer(traces, watch, mesh.heartbeats)


async def _receipts(
    mesh: Chassis, settings: ReceiptSettings, record: PostgresRecord, terms: PostgresTerms
) -> Registration:
    """Serves receipts, and writes them while the chassis is open."""
    store = PostgresReceipts(mesh.postgres)
    queue = ReceiptQueue(settings.queue_size, settings.shed_above)
    written = counter("receipts_written_total", "Receipts written.", ("form",))
    shed = counter("receipts_shed_total", "Receipts that were due in full and written compact under pressure.").labels()
    writer = ReceiptWriter(
        store,
        record,
        queue,
        ReceiptOptions(settings.low_quality, timedelta(seconds=settings.wait_for_facts_s)),
        mesh.clock,
        on_shed=shed.inc,
        on_written=lambda form: written.labels(form).inc(),
    )

    def on_notification(payload: str) -> None:
        tenant_id, _, job_id = payload.partition("\n")
        if job_id:
            queue.offer(JobKey(tenant_id, job_id))

    await mesh.enter(background(writer.work, "receipts", clock=mesh.clock))
    await mesh.enter(background(lambda: writer.find(settings.find_every_s), "receipts-due", clock=mesh.clock))
    await mesh.enter(mesh.postgres.listen(f"{mesh.postgres.schema}.{RECEIPTS_DUE}", on_notification))
    servicer = ReceiptServicer(Receipts(store), RetentionDays(terms, terms.platform, mesh.clock))
    return add_ReceiptServiceServicer_to_server, servicer


async def _retention(mesh: Chassis, terms: PostgresTerms, audit: Task) -> None:
    """Keeps the record's tables short while the chassis is open."""
    retention = Retention(mesh.postgres, [*RULES, audit], terms.terms, mesh.clock)
    await mesh.enter(background(retention.run_daily, "retention", clock=mesh.clock))


def _requeue_policy(settings: DeadLetterSettings) -> RequeuePolicy:
    return RequeuePolicy(
        requeues=settings.requeues,
        first=timedelta(seconds=settings.first_pause_s),
        longest=timedelta(seconds=settings.longest_pause_s),
        policy_every=timedelta(seconds=settings.policy_every_s),
        policy_expiry=timedelta(seconds=settings.policy_expiry_s),
    )


async def _dead_letters(mesh: Chassis, settings: Settings) -> Registration:
    """Serves dead letters, and sends them again while the chassis is open."""
    dead_letters = PostgresDeadLetters(mesh.postgres, mesh.outbox, mesh.codec, mesh.auditor)
    client = await mesh.enter(durable.client(settings.temporal))
    activities = RequeueActivities(AdvanceDeadLetter(dead_letters, mesh.clock, mesh.ids))
    await mesh.enter(workers(client, activities, mesh.clock))
    follower = RequeueSignaller(DeadLetterClaims(mesh.postgres), client, mesh.clock)
    standing = gauge("dlq_messages", "Dead letters that are kept.", ("state",))

    def count(numbers: Mapping[str, int]) -> None:
        for state, number in numbers.items():
            standing.labels(state).set(number)

    await mesh.enter(mesh.postgres.listen(f"{mesh.postgres.schema}.{LETTERS}", follower.on_notification))
    every = settings.dead_letters.poll_interval_s
    await mesh.enter(background(lambda: follower.work(every, count), "dead-letters", clock=mesh.clock))
    servicer = DeadLetterServicer(DeadLetters(dead_letters, mesh.clock, mesh.ids), mesh.codec)
    return add_DeadLetterServiceServicer_to_server, servicer
