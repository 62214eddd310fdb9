"""Receipts over real Postgres: made due with the facts, written once, read by their tenant alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.errors import SomaError
from mesh.events.event import Event
from mesh.ids import SystemIds, derive
from mesh.rpc.wellknown import timestamp
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing import served
from mesh.testing.audit import auditor
from soma.events.v1 import facts_pb2
from soma.events.v1.audit_pb2 import AuditRecorded
from soma.executor.v1 import job_pb2
from soma.provenance.v1 import receipt_service_pb2 as pb
from soma.provenance.v1.receipt_service_pb2_grpc import ReceiptServiceStub, add_ReceiptServiceServicer_to_server
from soma.selector.v1 import selection_pb2
from svc_provenance.adapters.postgres import PostgresRecord
from svc_provenance.adapters.receipts import CHANNEL, PostgresReceipts
from svc_provenance.adapters.retention import PostgresTerms
from svc_provenance.app.receipts import Filters, JobKey, ReceiptQueue, Receipts, ReceiptWriter, Writing
from svc_provenance.app.retention import RetentionDays
from svc_provenance.domain.receipts import Cause, Form, receipt_id_of
from svc_provenance.domain.retention import Days
from svc_provenance.events.facts import Intake
from svc_provenance.events.receipts import figures
from svc_provenance.rpc.receipts import ReceiptServicer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.protobuf.message import Message

    from tests.conftest import Database

NOW = datetime(2026, 11, 20, tzinfo=UTC)
IDS = SystemIds()
PLATFORM = Days(365, 90, 730, 30)


class Office:
    """The record of a database, and what writes its receipts."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self.record = PostgresRecord(postgres)
        self.store = PostgresReceipts(postgres)
        self.queue = ReceiptQueue(100, 50)
        self.clock = SystemClock()
        writing = Writing(0.6, timedelta(hours=1))
        self.written = asyncio.Event()
        self.sheds = 0
        self.writer = ReceiptWriter(
            self.store, self.record, figures, self.queue, writing, self.clock, on_written=lambda _: self.written.set()
        )
        self.terms = PostgresTerms(postgres, PLATFORM, auditor("provenance", AuditRecorded))

    def shed(self) -> None:
        self.sheds += 1

    async def remaining(self) -> int:
        """Receipts that are to be written."""
        async with self.postgres.transaction(SYSTEM) as connection:
            return int(await connection.fetchval("SELECT count(*) FROM receipts_due"))

    async def tell(self, payload: Message, tenant: str = "acme") -> None:
        event = Event(IDS.new(), payload.DESCRIPTOR.full_name, "t", "k", tenant, NOW, payload.SerializeToString())
        async with self.postgres.transaction(tenant) as connection:
            await Intake(self.record, IDS).handlers()[event.type](connection, event)

    async def attempt(self, job_id: str, *, error: str = "", tenant: str = "acme") -> None:
        status = job_pb2.EXECUTION_STATUS_FAILED if error else job_pb2.EXECUTION_STATUS_SUCCEEDED
        made = job_pb2.Execution(
            execution_id=derive(job_id, "x"), job_id=job_id, step_id="a", attempt=1, tool_id="t", provider="p",
            status=status, error_code=error, cost_micro_usd=7, latency_ms=40,
        )  # fmt: skip
        await self.tell(facts_pb2.ExecutionFinished(execution=made), tenant)

    async def end(self, job_id: str, at: datetime = NOW, *, attempts: int = 1, tenant: str = "acme") -> None:
        step = job_pb2.Step(step_id="a", state=job_pb2.STEP_STATE_SUCCEEDED, attempts=attempts)
        job = job_pb2.Job(job_id=job_id, state=job_pb2.JOB_STATE_COMPLETED, steps=[step], end_time=timestamp(at))
        await self.tell(facts_pb2.JobChanged(job=job), tenant)

    async def job(self, number: int = 0, *, error: str = "", tenant: str = "acme") -> str:
        """A job that ended, with its receipt."""
        job_id = IDS.new()
        await self.attempt(job_id, error=error, tenant=tenant)
        await self.end(job_id, NOW + timedelta(seconds=number), tenant=tenant)
        await self.writer.write(JobKey(tenant, job_id))
        return job_id


@pytest.fixture
async def office(database: Database) -> AsyncIterator[Office]:
    async with Postgres.open(await database("provenance")) as postgres:
        yield Office(postgres)


@pytest.fixture
async def stub(office: Office) -> AsyncIterator[ReceiptServiceStub]:
    servicer = ReceiptServicer(Receipts(office.store), RetentionDays(office.terms, PLATFORM, office.clock))
    async with served([(add_ReceiptServiceServicer_to_server, servicer)]) as server:
        yield ReceiptServiceStub(server.channel)


async def test_the_end_of_a_job_makes_its_receipt_due_and_says_so(office: Office) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with office.postgres.listen(f"{office.postgres.schema}.{CHANNEL}", heard.put_nowait), asyncio.timeout(10):
        assert await heard.get() == ""
        job_id = IDS.new()
        await office.attempt(job_id)
        await office.end(job_id)
        assert await heard.get() == f"acme\n{job_id}"
    assert list(await office.store.due_now(10)) == [JobKey("acme", job_id)]
    assert list(await office.store.due_now(10)) == []


async def test_a_job_has_one_receipt_however_often_it_is_written(office: Office) -> None:
    job_id = await office.job()
    key = JobKey("acme", job_id)
    assert await office.writer.write(key) is None
    await office.end(job_id)
    await asyncio.gather(*(office.writer.write(key) for _ in range(4)))
    page = await office.store.page("acme", Filters(), None, 10)
    assert [receipt.receipt_id for receipt in page] == [receipt_id_of("acme", job_id)]
    assert await office.store.due(key) is None


async def test_a_receipt_waits_until_every_fact_is_there(office: Office) -> None:
    job_id = IDS.new()
    key = JobKey("acme", job_id)
    await office.end(job_id)
    assert await office.writer.write(key) is None
    await office.attempt(job_id)
    assert await office.store.due_now(10) == [key]
    receipt = await office.writer.write(key)
    assert receipt is not None
    assert (receipt.complete, receipt.cost_micro_usd) == (True, 7)


async def test_news_of_a_job_that_has_a_receipt_is_written_into_it(office: Office) -> None:
    job_id = await office.job()
    selection = selection_pb2.Selection(
        selection_id=IDS.new(),
        subject_context=selection_pb2.SubjectContext(job_id=job_id, step_id="a", attempt=2),
        rejected=[selection_pb2.Rejection(capability_id="t@q", judgement=selection_pb2.JUDGEMENT_POLICY)],
    )
    await office.tell(facts_pb2.SelectionMade(selection=selection))
    await office.writer.write(JobKey("acme", job_id))
    receipt = await office.store.receipt("acme", job_id)
    assert receipt is not None
    assert (receipt.form, receipt.causes) == (Form.FULL, (Cause.POLICY_DENIED,))


async def test_news_that_comes_while_a_receipt_is_written_leaves_it_due(office: Office) -> None:
    job_id = IDS.new()
    key = JobKey("acme", job_id)
    await office.attempt(job_id)
    await office.end(job_id)
    due = await office.store.due(key)
    assert due is not None
    await office.end(job_id)
    await office.store.settle(key, due, None)
    assert await office.store.due(key) is not None


async def test_a_writer_that_heard_nothing_finds_what_is_due(office: Office) -> None:
    job_id = IDS.new()
    await office.attempt(job_id, error="UNAVAILABLE")
    await office.end(job_id)
    tasks = [asyncio.create_task(office.writer.work()), asyncio.create_task(office.writer.find(0.05))]
    try:
        async with asyncio.timeout(10):
            await office.written.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    receipt = await office.store.receipt("acme", job_id)
    assert receipt is not None
    assert (receipt.form, receipt.causes) == (Form.FULL, (Cause.TOOL_FAILED,))
    assert [attempt.error_code for attempt in receipt.attempt_details] == ["UNAVAILABLE"]


async def test_receipts_are_paged_newest_first_without_attempts(office: Office, stub: ReceiptServiceStub) -> None:
    jobs = [await office.job(number, error="TIMEOUT") for number in range(5)]
    found: list[pb.Receipt] = []
    token = ""
    for size in (2, 2, 1):
        page = await stub.ListReceipts(pb.ListReceiptsRequest(page_size=2, page_token=token))
        assert len(page.receipts) == size
        found += page.receipts
        token = page.next_page_token
    assert token == ""
    assert [receipt.job_id for receipt in found] == jobs[::-1]
    assert not any(receipt.attempt_details for receipt in found)
    one = await stub.GetReceipt(pb.GetReceiptRequest(receipt_id=found[0].receipt_id))
    assert (one.job_id, len(one.attempt_details)) == (jobs[-1], 1)
    assert await stub.GetReceipt(pb.GetReceiptRequest(receipt_id=jobs[-1])) == one


async def test_receipts_are_filtered_by_form_cause_and_end(office: Office, stub: ReceiptServiceStub) -> None:
    fine = await office.job(0)
    failed = await office.job(1, error="TIMEOUT")
    for request, expected in (
        (pb.ListReceiptsRequest(form=pb.RECEIPT_FORM_COMPACT), [fine]),
        (pb.ListReceiptsRequest(cause=pb.RECEIPT_CAUSE_TOOL_FAILED), [failed]),
        (pb.ListReceiptsRequest(cause=pb.RECEIPT_CAUSE_LOW_QUALITY), []),
        (pb.ListReceiptsRequest(start_time=timestamp(NOW + timedelta(seconds=1))), [failed]),
        (pb.ListReceiptsRequest(end_time=timestamp(NOW + timedelta(seconds=1))), [fine]),
    ):
        assert [receipt.job_id for receipt in (await stub.ListReceipts(request)).receipts] == expected


async def test_a_page_token_belongs_to_its_filters(office: Office, stub: ReceiptServiceStub) -> None:
    for number in range(2):
        await office.job(number)
    page = await stub.ListReceipts(pb.ListReceiptsRequest(page_size=1))
    for token in (page.next_page_token, "nonsense", "1.2.3", f"{10**30}.{IDS.new()}.x"):
        with pytest.raises(SomaError) as refused:
            await stub.ListReceipts(pb.ListReceiptsRequest(form=pb.RECEIPT_FORM_COMPACT, page_token=token))
        assert [violation.field for violation in refused.value.fields] == ["page_token"]


async def test_another_tenants_receipt_does_not_exist(office: Office, stub: ReceiptServiceStub) -> None:
    job_id = await office.job(tenant="umbrella")
    assert not (await stub.ListReceipts(pb.ListReceiptsRequest())).receipts
    for id_ in (job_id, receipt_id_of("umbrella", job_id)):
        with pytest.raises(SomaError, match="receipt"):
            await stub.GetReceipt(pb.GetReceiptRequest(receipt_id=id_))


async def test_a_tenant_keeps_its_records_as_long_as_it_says(office: Office, stub: ReceiptServiceStub) -> None:
    before = await stub.GetRetention(pb.GetRetentionRequest())
    assert (before.traces_days, before.updated_by, before.HasField("update_time")) == (90, "", False)
    wanted = pb.Retention(receipts_days=30, traces_days=7, audit_days=90, dead_letters_days=1)
    answer = await stub.SetRetention(pb.SetRetentionRequest(retention=wanted))
    assert (answer.traces_days, answer.updated_by != "", answer.HasField("update_time")) == (7, True, True)
    assert await stub.GetRetention(pb.GetRetentionRequest()) == answer
    async with office.postgres.transaction("acme") as connection:
        told = await connection.fetchval("SELECT payload FROM outbox WHERE topic = 'audit.events'")
    entry = AuditRecorded.FromString(told)
    assert (entry.action, entry.resource_id, entry.subject) == ("retention.write", "acme", "alice")
    assert (entry.before_digest, len(entry.after_digest)) == ("", 64)
    terms = await office.terms.terms()
    assert terms["traces"].of_tenants == {"acme": 7}
    assert terms["audit"].longest == 730


async def test_days_out_of_bounds_are_refused_by_name(stub: ReceiptServiceStub) -> None:
    wrong = pb.Retention(receipts_days=30, traces_days=7, audit_days=30, dead_letters_days=9_999)
    with pytest.raises(SomaError) as refused:
        await stub.SetRetention(pb.SetRetentionRequest(retention=wrong))
    fields = {violation.field for violation in refused.value.fields}
    assert fields == {"retention.audit_days", "retention.dead_letters_days"}


async def test_a_flood_over_small_queues_and_a_writer_that_dies_leaves_one_receipt_for_each_job(office: Office) -> None:
    jobs = [IDS.new() for _ in range(120)]
    other = Office(office.postgres)
    for member in (office, other):
        member.queue = ReceiptQueue(8, 4)
        member.writer = ReceiptWriter(
            member.store, member.record, figures, member.queue, Writing(0.6, timedelta(hours=1)), member.clock,
            on_shed=member.shed, on_written=lambda _, told=member.written: told.set(),
        )  # fmt: skip
    for place, job_id in enumerate(jobs):
        await office.attempt(job_id, error="" if place % 3 else "TIMEOUT")
        await office.end(job_id)
        for member in (office, other):
            member.queue.offer(JobKey("acme", job_id))
    dying = asyncio.create_task(other.writer.work())
    async with asyncio.timeout(30):
        await other.written.wait()
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        working = asyncio.create_task(office.writer.work())
        try:
            while await office.remaining():
                office.written.clear()
                async with office.postgres.transaction(
                    SYSTEM
                ) as connection:  # as if the pause of what was found is over
                    await connection.execute("UPDATE receipts_due SET not_before = clock_timestamp()")
                for key in await office.store.due_now(office.queue.room):
                    office.queue.offer(key)
                if await office.remaining():
                    await office.written.wait()
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
    page = await office.store.page("acme", Filters(), None, 500)
    assert sorted(receipt.job_id for receipt in page) == sorted(jobs)
    wanted_full = {job_id for place, job_id in enumerate(jobs) if not place % 3}
    assert {receipt.job_id for receipt in page if receipt.causes} == wanted_full
    assert office.sheds + other.sheds >= sum(r.form is Form.COMPACT for r in page if r.causes)
