"""The wiring of provenance."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh import durable
from mesh.chassis import chassis
from mesh.lifecycle import background
from mesh.settings import load
from mesh.stores import blobs
from mesh.stores.retention import MaintenanceTask, Retention
from mesh.telemetry import counter, gauge
from soma.provenance.v1.audit_service_pb2_grpc import add_AuditServiceServicer_to_server
from soma.provenance.v1.dead_letter_service_pb2_grpc import add_DeadLetterServiceServicer_to_server
from soma.provenance.v1.provenance_service_pb2_grpc import add_ProvenanceServiceServicer_to_server
from soma.provenance.v1.receipt_service_pb2_grpc import add_ReceiptServiceServicer_to_server
from soma.provenance.v1.trace_service_pb2_grpc import add_TraceServiceServicer_to_server
from svc_provenance.adapters.audit_anchors import BlobAnchorStore, TransitStatementSigner
from svc_provenance.adapters.policy import PromptPolicy
from svc_provenance.adapters.postgres import dead_letters as dead_letter_rows
from svc_provenance.adapters.postgres.audit import PostgresAuditStore, append_entries
from svc_provenance.adapters.postgres.dead_letter_claims import DeadLetterClaims
from svc_provenance.adapters.postgres.dead_letters import CHANNEL as DEAD_LETTERS_CHANNEL
from svc_provenance.adapters.postgres.dead_letters import PostgresDeadLetterStore
from svc_provenance.adapters.postgres.provenance import PostgresProvenanceStore
from svc_provenance.adapters.postgres.receipts import CHANNEL as RECEIPTS_CHANNEL
from svc_provenance.adapters.postgres.receipts import PostgresReceiptStore
from svc_provenance.adapters.postgres.retention import RETENTION_RULES, PostgresRetentionStore
from svc_provenance.adapters.postgres.staged_audit_entries import CHANNEL as AUDIT_STAGED_CHANNEL
from svc_provenance.adapters.postgres.staged_audit_entries import PostgresStagedEntries, stage_entries
from svc_provenance.adapters.postgres.trace_notifications import CHANNEL as TRACES_CHANNEL
from svc_provenance.adapters.postgres.trace_notifications import TraceNotifications
from svc_provenance.adapters.requeue_signaller import RequeueSignaller
from svc_provenance.app.anchoring import Anchorer, AnchorSchedule, AuditMaintenance
from svc_provenance.app.audit import Audit
from svc_provenance.app.dead_letters import DeadLetters, ProcessDueDeadLetter
from svc_provenance.app.lineage import Lineage
from svc_provenance.app.receipts import JobKey, ReceiptOptions, ReceiptQueue, Receipts, ReceiptWriter
from svc_provenance.app.retention import TenantRetentions
from svc_provenance.app.staged_audit import AppendStagedEntries
from svc_provenance.app.traces import Traces
from svc_provenance.app.watch import WatchTraces
from svc_provenance.context import CONTEXT, NAME
from svc_provenance.domain.dead_letters import RequeuePolicy
from svc_provenance.domain.retention import RetentionDays
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
from svc_provenance.settings import AuditSettings, DeadLetterSettings, ReceiptSettings, Settings
from svc_provenance.workflows.requeue import RequeueActivities, workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from mesh.chassis import Chassis
    from mesh.events.inbox import Handlers
    from mesh.lifecycle import Service
    from mesh.rpc.registrar import Registration


@asynccontextmanager
async def build(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Builds the service, and undoes it in reverse."""
    settings = settings or load(Settings, NAME)
    async with chassis(CONTEXT, settings) as mesh:
        await mesh.follow_keys()
        store = PostgresProvenanceStore(mesh.postgres, summary_from_proto)
        await _consume(mesh, settings, store)
        retention = PostgresRetentionStore(
            mesh.postgres,
            RetentionDays(**settings.retention.model_dump()),
            mesh.auditor,
            unsettled_days=settings.dead_letters.unsettled_days,
        )
        receipts = await _receipts(mesh, settings.receipts, store, retention)
        traces = await _traces(mesh, store)
        audit, maintenance = await _audit(mesh, settings, retention)
        await _retention(mesh, retention, maintenance)
        dead_letters = await _dead_letters(mesh, settings)
        yield await mesh.serve(
            [
                receipts,
                (add_ProvenanceServiceServicer_to_server, ProvenanceServicer(Lineage(store))),
                traces,
                audit,
                dead_letters,
            ]
        )


async def _consume(chassis: Chassis, settings: Settings, store: PostgresProvenanceStore) -> None:
    """Consumes the events of all topics while the chassis is open."""
    count = _count_redactions()
    traces = TraceEventHandlers(
        store, allows_full_prompts=PromptPolicy(chassis.policy).allows_full_prompts, on_redacted=count
    )
    audit = AuditEventHandlers(append_entries, on_redacted=count)
    selections = SelectionEventHandlers(traces.selection_made, stage_entries)
    dead_letters = DeadLetterEventHandlers(dead_letter_rows, _requeue_policy(settings.dead_letters), chassis.clock)
    handlers: Handlers = {**traces.handlers(), **selections.handlers(), **audit.handlers(), **dead_letters.handlers()}
    await chassis.consume(handlers, store_dead_letter=dead_letters.add_own)


def _count_redactions() -> Callable[[Mapping[str, int]], None]:
    redactions = counter("redactions_total", "Values that were redacted before they were stored.", ("kind",))

    def count(counts: Mapping[str, int]) -> None:
        for kind, number in counts.items():
            redactions.labels(kind).inc(number)

    return count


async def _audit(
    chassis: Chassis, settings: Settings, retention: PostgresRetentionStore
) -> tuple[Registration, MaintenanceTask]:
    """Serves audit chains, and anchors them while the chassis is open; returns the task of their retention too."""
    store = PostgresAuditStore(chassis.postgres)
    anchors = BlobAnchorStore(await chassis.enter(blobs.open(settings.blobs)))
    signer = TransitStatementSigner(chassis.transit, chassis.clock)
    anchorer = _anchorer(chassis, settings.audit, store, anchors, signer)
    await chassis.enter(background(anchorer.run, "audit-anchors", clock=chassis.clock))

    async def longest_days() -> int:
        return (await retention.periods())["audit"].longest

    maintenance = AuditMaintenance(store, signer, longest_days, chassis.clock)
    staged = AppendStagedEntries(PostgresStagedEntries(chassis.postgres))
    await chassis.enter(
        chassis.postgres.listen(f"{chassis.postgres.schema}.{AUDIT_STAGED_CHANNEL}", staged.on_notification)
    )
    await chassis.enter(background(staged.run, "audit-pending", clock=chassis.clock))
    servicer = AuditServicer(Audit(store, anchors, signer))
    return (add_AuditServiceServicer_to_server, servicer), MaintenanceTask(
        "audit_events", "audit", lambda *_: maintenance.run()
    )


def _anchorer(
    chassis: Chassis,
    settings: AuditSettings,
    store: PostgresAuditStore,
    anchors: BlobAnchorStore,
    signer: TransitStatementSigner,
) -> Anchorer:
    made = counter("audit_anchors_total", "Anchors of audit chains that were made.").labels()
    conflicts = counter(
        "audit_anchor_conflicts_total", "Heads of audit chains that are not what an anchor of their sequence says."
    ).labels()
    due = gauge("audit_chains_due", "Audit chains whose newest entries should have an anchor.").labels()
    schedule = AnchorSchedule(settings.anchor_entries, settings.anchor_every_s, settings.anchor_poll_interval_s)
    return Anchorer(
        store, anchors, signer, schedule, chassis.clock, on_made=made.inc, on_conflict=conflicts.inc, on_due=due.set
    )


async def _traces(chassis: Chassis, store: PostgresProvenanceStore) -> Registration:
    """Serves traces, and listens for their new entries while the chassis is open."""
    notifications = TraceNotifications()
    await chassis.enter(
        chassis.postgres.listen(f"{chassis.postgres.schema}.{TRACES_CHANNEL}", notifications.on_notification)
    )
    traces = Traces(store)
    watch = WatchTraces(traces, snapshot_to_proto, notifications.for_job, chassis.clock)
    return add_TraceServiceServicer_to_server, TraceServicer(traces, watch, chassis.heartbeats)


async def _receipts(
    chassis: Chassis, settings: ReceiptSettings, provenance: PostgresProvenanceStore, retention: PostgresRetentionStore
) -> Registration:
    """Serves receipts, and writes them while the chassis is open."""
    store = PostgresReceiptStore(chassis.postgres)
    queue = ReceiptQueue(settings.queue_size, settings.compact_above)
    written = counter("receipts_written_total", "Receipts written.", ("form",))
    compacted = counter(
        "receipts_shed_total", "Receipts that were due in full and written compact under pressure."
    ).labels()
    writer = ReceiptWriter(
        store,
        provenance,
        queue,
        ReceiptOptions(settings.low_quality, timedelta(seconds=settings.wait_for_facts_s)),
        chassis.clock,
        on_compacted=compacted.inc,
        on_written=lambda form: written.labels(form).inc(),
    )

    def on_notification(payload: str) -> None:
        tenant_id, _, job_id = payload.partition("\n")
        if job_id:
            queue.offer(JobKey(tenant_id, job_id))

    await chassis.enter(background(writer.run, "receipts", clock=chassis.clock))
    await chassis.enter(background(lambda: writer.poll(settings.poll_interval_s), "receipts-due", clock=chassis.clock))
    await chassis.enter(chassis.postgres.listen(f"{chassis.postgres.schema}.{RECEIPTS_CHANNEL}", on_notification))
    servicer = ReceiptServicer(Receipts(store), TenantRetentions(retention, retention.platform, chassis.clock))
    return add_ReceiptServiceServicer_to_server, servicer


async def _retention(chassis: Chassis, store: PostgresRetentionStore, audit: MaintenanceTask) -> None:
    """Deletes old rows while the chassis is open."""
    retention = Retention(chassis.postgres, [*RETENTION_RULES, audit], store.periods, chassis.clock)
    await chassis.enter(background(retention.run_daily, "retention", clock=chassis.clock))


def _requeue_policy(settings: DeadLetterSettings) -> RequeuePolicy:
    return RequeuePolicy(
        requeues=settings.requeues,
        initial_interval=timedelta(seconds=settings.first_pause_s),
        max_interval=timedelta(seconds=settings.longest_pause_s),
        policy_every=timedelta(seconds=settings.policy_every_s),
        policy_expiry=timedelta(seconds=settings.policy_expiry_s),
    )


async def _dead_letters(chassis: Chassis, settings: Settings) -> Registration:
    """Serves dead letters, and sends them again while the chassis is open."""
    store = PostgresDeadLetterStore(chassis.postgres, chassis.outbox, chassis.codec, chassis.auditor)
    client = await chassis.enter(durable.client(settings.temporal))
    activities = RequeueActivities(ProcessDueDeadLetter(store, chassis.clock, chassis.ids))
    await chassis.enter(workers(client, activities, chassis.clock))
    signaller = RequeueSignaller(DeadLetterClaims(chassis.postgres), client, chassis.clock)
    stored = gauge("dlq_messages", "Dead letters that are stored.", ("state",))

    def set_counts(counts: Mapping[str, int]) -> None:
        for state, number in counts.items():
            stored.labels(state).set(number)

    await chassis.enter(
        chassis.postgres.listen(f"{chassis.postgres.schema}.{DEAD_LETTERS_CHANNEL}", signaller.on_notification)
    )
    interval_s = settings.dead_letters.poll_interval_s
    await chassis.enter(background(lambda: signaller.run(interval_s, set_counts), "dead-letters", clock=chassis.clock))
    servicer = DeadLetterServicer(DeadLetters(store, chassis.clock, chassis.ids), chassis.codec)
    return add_DeadLetterServiceServicer_to_server, servicer
