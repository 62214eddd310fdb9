"""Pages of lists whose filters no index serves: each looks at a bounded number of entries, together at all of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.clock import EPOCH
from mesh.degradation import DegradationLevel
from mesh.events.outbox import Outbox
from mesh.ids import SystemIds, rng
from mesh.stores.postgres import Postgres
from mesh.testing.audit import auditor
from svc_provenance.adapters.postgres import dead_letters as dead_letter_rows
from svc_provenance.adapters.postgres.audit import PostgresAuditStore, append_entries
from svc_provenance.adapters.postgres.dead_letters import PostgresDeadLetterStore
from svc_provenance.adapters.postgres.receipts import PostgresReceiptStore
from svc_provenance.app import audit, dead_letters, receipts
from svc_provenance.app.receipts import JobKey
from svc_provenance.domain.audit import AuditAction, Decision, Entry
from svc_provenance.domain.dead_letters import Cause, DeadLetterRecord, State
from svc_provenance.domain.receipts import Form, Receipt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.events.event import Codec
    from svc_provenance.domain.pages import PageCursor
    from tests.conftest import Database

TENANT, MANY, SCANNED = "acme", 60, 7
IDS = SystemIds()


@pytest.fixture
async def postgres(database: Database) -> AsyncIterator[Postgres]:
    async with Postgres.open(await database("provenance")) as opened:
        yield opened


async def stored(postgres: Postgres, count: int = MANY) -> PostgresDeadLetterStore:
    """A store with dead letters of which every 20th is discarded, all of one moment in fours."""
    async with postgres.transaction(TENANT) as connection:
        for number in range(count):
            at = EPOCH + timedelta(seconds=number // 4)
            state = State.DISCARDED if number % 20 == 3 else State.EXHAUSTED
            dead_letter = DeadLetterRecord(
                IDS.new(), TENANT, "probe", f"topic-{number % 3}", "k", IDS.new(), "noted", Cause.FAILED, "", 1, at, at,
                state=state, correlation_id=f"job-{number % 5}", value=b"v",
            )  # fmt: skip
            await dead_letter_rows.add_dead_letter(connection, dead_letter)
    no_codec: Codec = None  # type: ignore[assignment]
    return PostgresDeadLetterStore(postgres, Outbox(), no_codec, auditor("provenance"), SCANNED)


async def walked(
    store: PostgresDeadLetterStore, filters: dead_letters.DeadLetterFilters, size: int
) -> list[list[DeadLetterRecord]]:
    """All pages of a list."""
    pages: list[list[DeadLetterRecord]] = []
    mark: PageCursor | None = None
    while not pages or mark is not None:
        page, mark = await store.page(TENANT, filters, mark, size)
        pages.append(list(page))
        assert len(page) <= size
        assert len(pages) <= MANY
    return pages


async def test_pages_together_hold_what_passes_the_filters_once_and_in_order(postgres: Postgres) -> None:
    store = await stored(postgres)
    everything = [
        dead_letter for page in await walked(store, dead_letters.DeadLetterFilters(), 500) for dead_letter in page
    ]
    assert len(everything) == MANY
    dice = rng(1)
    for _ in range(40):
        filters = dead_letters.DeadLetterFilters(
            state=dice.choice([None, *State]), topic=dice.choice(["", "topic-1"]),
            correlation_id=dice.choice(["", "job-3"]), cause=dice.choice([None, Cause.FAILED]),
        )  # fmt: skip
        found = [dead_letter for page in await walked(store, filters, dice.randint(1, 9)) for dead_letter in page]
        assert found == [dead_letter for dead_letter in everything if passes(dead_letter, filters)]


def passes(dead_letter: DeadLetterRecord, filters: dead_letters.DeadLetterFilters) -> bool:
    return (
        filters.state in {None, dead_letter.state}
        and filters.cause in {None, dead_letter.cause}
        and filters.topic in {"", dead_letter.topic}
        and filters.correlation_id in {"", dead_letter.correlation_id}
    )


async def test_a_page_ends_when_it_has_looked_at_enough(postgres: Postgres) -> None:
    store = await stored(postgres)
    pages = await walked(store, dead_letters.DeadLetterFilters(state=State.RESOLVED), 5)
    assert pages == [[]] * (MANY // SCANNED + 1)


async def test_dead_letters_of_a_job_are_found_without_a_look_at_the_others(postgres: Postgres) -> None:
    store = await stored(postgres, 5 * SCANNED - 5)
    page, mark = await store.page(
        TENANT, dead_letters.DeadLetterFilters(correlation_id="job-3", state=State.DISCARDED), None, 5
    )
    assert (len(page), mark) == (2, None)


async def test_entries_of_a_chain_are_listed_whole_by_bounded_pages(postgres: Postgres) -> None:
    store = PostgresAuditStore(postgres, SCANNED)
    at = EPOCH + timedelta(days=20_000)
    made = [
        Entry(TENANT, 0, IDS.new(), at + timedelta(minutes=number), at, action_of(number)) for number in range(MANY)
    ]  # fmt: skip
    async with postgres.transaction(TENANT) as connection:
        await append_entries(connection, TENANT, made)
    for filters in (
        audit.AuditFilters(decision=Decision.DENIED),
        audit.AuditFilters(resource_id="id-4"),
        audit.AuditFilters(resource_type="job"),
        audit.AuditFilters(resource_type="job", decision=Decision.DENIED),
        audit.AuditFilters(resource_type="job", action="job.read"),
        audit.AuditFilters(resource_type="job", resource_id="id-4", action="job.read"),
        audit.AuditFilters(subject="subject-1", action="job.read", resource_id="id-4"),
        audit.AuditFilters(start=at + timedelta(minutes=10), end=at + timedelta(minutes=12)),
    ):
        found: list[str] = []
        before = pages = 0
        while not pages or before:
            page, before = await store.page(TENANT, filters, before, 4)
            found += [linked.entry.audit_id for linked in page]
            pages += 1
        assert found == [entry.audit_id for entry in reversed(made) if wanted(entry, filters)]
        assert found


def action_of(number: int) -> AuditAction:
    decision = Decision.DENIED if number % 25 == 2 else Decision.ALLOWED
    action, subject = ("job.read" if number % 2 else "job.write"), f"subject-{number % 2}"
    return AuditAction(action, "executor", subject, "", "job", f"id-{number % 9}", decision.value, "", "", "", "", "")


def wanted(entry: Entry, filters: audit.AuditFilters) -> bool:
    done = entry.audit_action
    return (
        filters.subject in {"", done.subject}
        and filters.action in {"", done.action}
        and filters.resource_type in {"", done.resource_type}
        and filters.resource_id in {"", done.resource_id}
        and (filters.decision is None or filters.decision.value == done.decision)
        and (filters.start is None or filters.start <= entry.occurred_at)
        and (filters.end is None or entry.occurred_at < filters.end)
    )


async def test_receipts_are_listed_whole_by_bounded_pages(postgres: Postgres) -> None:
    store, made = PostgresReceiptStore(postgres, SCANNED), []
    for number in range(MANY):
        form = Form.FULL if number % 20 == 3 else Form.COMPACT
        receipt = Receipt(
            IDS.new(), IDS.new(), form, (), "completed", "STANDARD", None, None, {},
            DegradationLevel.MINOR, 1, 1.0, 1, 0, 0, 1, 1, 1, "d",
            {}, (), (), complete=True, ended_at=EPOCH + timedelta(minutes=number),
        )  # fmt: skip
        made.append(receipt)
        async with postgres.transaction(TENANT) as connection:
            await connection.execute(_DUE, TENANT, receipt.job_id)
        due = await store.due(JobKey(TENANT, receipt.job_id))
        assert due is not None
        await store.complete(JobKey(TENANT, receipt.job_id), due, receipt)
    found: list[str] = []
    mark: PageCursor | None = None
    pages = 0
    while not pages or mark:
        page, mark = await store.page(TENANT, receipts.ReceiptFilters(form=Form.FULL), mark, 4)
        found += [receipt.receipt_id for receipt in page]
        pages += 1
    assert found == [receipt.receipt_id for receipt in reversed(made) if receipt.form is Form.FULL]
    assert pages == MANY // SCANNED + 1


_DUE = "INSERT INTO receipts_due (tenant_id, job_id, since) VALUES ($1, $2, now())"
