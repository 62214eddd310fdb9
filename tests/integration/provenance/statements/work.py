"""All that the record does with its database, once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.clock import SystemClock
from mesh.degradation import DegradationLevel
from mesh.events.event import Codec, Event
from mesh.events.outbox import Outbox
from mesh.ids import SystemIds
from mesh.testing.audit import auditor
from soma.executor.v1 import job_pb2
from svc_provenance.adapters.postgres import dead_letters as dead_letter_rows
from svc_provenance.adapters.postgres.audit import PostgresAuditStore, append_entries
from svc_provenance.adapters.postgres.dead_letter_claims import DeadLetterClaims
from svc_provenance.adapters.postgres.dead_letters import PostgresDeadLetterStore
from svc_provenance.adapters.postgres.provenance import PostgresProvenanceStore
from svc_provenance.adapters.postgres.receipts import PostgresReceiptStore
from svc_provenance.adapters.postgres.retention import RETENTION_RULES, PostgresRetentionStore
from svc_provenance.adapters.postgres.staged_audit_entries import PostgresStagedEntries, stage_entries
from svc_provenance.app import audit, dead_letters, receipts
from svc_provenance.app.receipts import JobKey
from svc_provenance.domain.asset_records import AssetCreation, StoredAsset
from svc_provenance.domain.audit import AuditAction, Decision, Entry
from svc_provenance.domain.dead_letters import Cause, DeadLetterRecord, State, discarded, requeued
from svc_provenance.domain.model import Attempt, AttemptStatus, EntryKind, EvaluationSummary, TraceEntry
from svc_provenance.domain.pages import PageCursor
from svc_provenance.domain.receipts import Cause as ReceiptCause
from svc_provenance.domain.receipts import Form, Receipt
from svc_provenance.domain.retention import RetentionDays, TenantRetention
from svc_provenance.rpc.convert.summaries import summary_from_proto

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

    from mesh.stores.postgres import Postgres

TENANT = "tenant-7"
IDS, CLOCK = SystemIds(), SystemClock()
DAYS = RetentionDays(receipts_days=100, traces_days=100, audit_days=730, dead_letters_days=100)
JOB = IDS.new()


def _fact(kind: EntryKind, fact_id: str, job_id: str, message: Message) -> TraceEntry:
    document = message.SerializeToString()
    return TraceEntry(kind, fact_id, job_id, CLOCK.now(), summary_from_proto(kind, document), document)


async def keep_facts(postgres: Postgres) -> None:
    """What handlers of facts do, and what is read back."""
    record, asset_id, parent = PostgresProvenanceStore(postgres, summary_from_proto), IDS.new(), IDS.new()
    now = CLOCK.now()
    made = Attempt("e", "s", "t", 1, "t@p", AttemptStatus.SUCCEEDED, "c")
    creation = AssetCreation(made, JOB, "m", "alice", (parent,), {}, "", {})
    async with postgres.transaction(TENANT) as transaction:
        for _ in range(2):
            ended = job_pb2.Job(job_id=JOB, state=job_pb2.JOB_STATE_COMPLETED)
            await record.add_entries(transaction, TENANT, [_fact(EntryKind.JOB, JOB, JOB, ended)])
        other = IDS.new()
        await record.add_entries(transaction, TENANT, [_fact(EntryKind.JOB, other, other, job_pb2.Job(job_id=other))])
        await record.add_entries(transaction, TENANT, [_fact(EntryKind.STEP, "s", JOB, job_pb2.Step(step_id="s"))])
        assert await record.job_entry(transaction, TENANT, JOB)
        for id_ in (asset_id, parent):
            await record.add_asset(
                transaction, TENANT, StoredAsset(id_, "image", "", "", JOB, "s", "e", "alice", (), now)
            )
        await record.add_creation(transaction, TENANT, [asset_id], creation)
        await record.add_evaluation(transaction, TENANT, asset_id, EvaluationSummary("v", "e", passes=True, score=0.5))
        await record.erase(transaction, TENANT, asset_id, now)
    await record.trace_entries(TENANT, JOB)
    await record.provenance(TENANT, asset_id)
    assert await record.ancestors(TENANT, asset_id)


async def write_receipts(postgres: Postgres) -> None:
    """What the writer of receipts does, and what is read back."""
    store, key = PostgresReceiptStore(postgres), JobKey(TENANT, JOB)
    receipt = Receipt(
        IDS.new(), JOB, Form.COMPACT, (), "completed", "STANDARD", None, None, {},
        DegradationLevel.MINOR, 1, 1.0, 1, 0, 0, 1, 1, 1, "d",
        {},
        (), (), complete=True, ended_at=CLOCK.now(),
    )  # fmt: skip
    assert await store.claim_due(5)
    due = await store.due(key)
    assert due is not None
    await store.postpone(key, due, 1.0, receipt)
    await store.complete(key, due, replace(receipt, trace_digest="e"))
    assert await store.get(TENANT, receipt.receipt_id)
    assert await store.get(TENANT, JOB)


async def move_dead_letters(postgres: Postgres) -> None:
    """What becomes of dead letters, and what is read back."""
    codec, now = Codec(), CLOCK.now()
    store, claims = (
        PostgresDeadLetterStore(postgres, Outbox(), codec, auditor("provenance")),
        DeadLetterClaims(postgres),
    )
    event = Event(IDS.new(), "noted", "executor.events", "k", TENANT, now, b"a")
    dead_letter = DeadLetterRecord(
        IDS.new(), TENANT, "probe", "executor.events", "k", event.event_id, "noted", Cause.FAILED, "", 1, now, now,
        requeue_at=now, value=codec.encode(event),
    )  # fmt: skip
    async with postgres.transaction(TENANT) as connection:
        await dead_letter_rows.add_dead_letter(connection, dead_letter)
    await store.change(TENANT, dead_letter.dlq_id, lambda one: requeued(one, now, IDS.new()), audited=False)
    await store.change(TENANT, dead_letter.dlq_id, lambda one: discarded(one, "enough", now), audited=True)
    await store.get(TENANT, dead_letter.dlq_id)
    for filters in _dead_letter_filters():
        await store.requeueable(TENANT, filters, 100)
    for found in (await claims.changed(100), await claims.overdue(100)):
        assert found
        await claims.mark_signalled(found[0])
        await claims.release(found[1:])
    await claims.counts()


def _dead_letter_filters() -> Iterator[dead_letters.DeadLetterFilters]:
    yield dead_letters.DeadLetterFilters()
    yield dead_letters.DeadLetterFilters(state=State.WAITING, cause=Cause.FAILED)
    yield dead_letters.DeadLetterFilters(correlation_id="j")
    yield dead_letters.DeadLetterFilters(topic="executor.events", group="probe", event_type="noted", correlation_id="j")


async def chain_entries(postgres: Postgres) -> None:
    """What is done with audit chains."""
    store, now = PostgresAuditStore(postgres), CLOCK.now()
    audit_action = AuditAction(
        "job.create", "executor", "alice", "", "job", JOB, Decision.ALLOWED.value, "", "", "", "", ""
    )
    async with postgres.transaction(TENANT) as connection:
        await append_entries(connection, TENANT, [Entry(TENANT, 0, IDS.new(), now, now, audit_action)])
    async with postgres.transaction(TENANT) as connection:
        await stage_entries(connection, TENANT, [Entry(TENANT, 0, IDS.new(), now, now, audit_action)])
        await connection.execute("INSERT INTO audit_pending (tenant_id, entry) VALUES ($1, '{}')", TENANT)
    assert await PostgresStagedEntries(postgres).append_next() == 2
    [newest], _ = await store.page(TENANT, audit.AuditFilters(), 0, 1)
    assert await store.get(TENANT, newest.entry.audit_id)
    await store.chain_state(TENANT)
    await store.newest_anchored(TENANT)
    await store.chains_due(1_000, now)
    await store.record_anchor(TENANT, 1, now)
    month = await store.oldest_month(now)
    assert month is not None
    await store.last_positions(month)


async def read_pages(postgres: Postgres) -> None:
    """Pages of all that is listed, first ones and later ones."""
    await _pages_of_receipts(PostgresReceiptStore(postgres))
    dead_letters = PostgresDeadLetterStore(postgres, Outbox(), Codec(), auditor("provenance"))
    for filters in _dead_letter_filters():
        for after in (None, PageCursor(CLOCK.now(), IDS.new())):
            await dead_letters.page(TENANT, filters, after, 50)
    await _pages_of_a_chain(PostgresAuditStore(postgres))


async def _pages_of_receipts(store: PostgresReceiptStore) -> None:
    start, end = CLOCK.now() - timedelta(days=30), CLOCK.now() + timedelta(days=1)
    for filters in (
        receipts.ReceiptFilters(),
        receipts.ReceiptFilters(Form.FULL, ReceiptCause.TOOL_FAILED),
        receipts.ReceiptFilters(start=start, end=end),
    ):
        for after in (None, PageCursor(end, IDS.new())):
            await store.page(TENANT, filters, after, 50)


async def _pages_of_a_chain(store: PostgresAuditStore) -> None:
    now = CLOCK.now()
    for filters in (
        audit.AuditFilters(subject="subject-7"),
        audit.AuditFilters(resource_type="job", resource_id=JOB),
        audit.AuditFilters(action="job.create", decision=Decision.DENIED, start=now - timedelta(days=1), end=now),
    ):
        await store.page(TENANT, filters, 4_000, 50)
    [newest], _ = await store.page(TENANT, audit.AuditFilters(), 0, 1)
    await store.entries_between(TENANT, None, 100, 5_000, 500)
    await store.entries_between(TENANT, newest, 0, 5_000, 500)


async def apply_retention(postgres: Postgres) -> None:
    """One chunk of each table's retention, of every kind of cut."""
    terms = PostgresRetentionStore(postgres, DAYS, auditor("provenance"))
    await terms.save(TENANT, TenantRetention(replace(DAYS, receipts_days=50), "ann", CLOCK.now()))
    await terms.get(TENANT)
    await terms.periods()
    before = CLOCK.now() - timedelta(days=100)
    for rule in RETENTION_RULES:
        async with postgres.transaction("*") as connection:
            after = [""] if rule.resumes_by_tenant else []
            await connection.fetchval(rule.chunk, [TENANT], [], before, 500, False, *after)
            await connection.fetchval(rule.chunk, None, [TENANT], before, 500, False, *after)
            await connection.fetchval(rule.chunk, None, [], before, 500, True, *after)


WORK = (keep_facts, write_receipts, move_dead_letters, chain_entries, read_pages, apply_retention)
