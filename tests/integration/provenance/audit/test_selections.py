"""Every choice of a capability is in the audit chain of its tenant, and each can be proven."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.events.event import Event
from mesh.ids import derive
from mesh.lifecycle import background
from mesh.testing.contract import eventually
from soma.events.v1 import facts_pb2
from soma.selector.v1 import selection_pb2
from svc_provenance.adapters.postgres.provenance import PostgresProvenanceStore
from svc_provenance.adapters.postgres.staged_audit_entries import CHANNEL, PostgresStagedEntries, stage_entries
from svc_provenance.app.audit import AuditFilters
from svc_provenance.app.staged_audit import AppendStagedEntries
from svc_provenance.events.consumed.selections import SelectionEventHandlers
from svc_provenance.events.consumed.traces import TraceEventHandlers
from svc_provenance.rpc.convert.summaries import summary_from_proto
from tests.chaos.provenance.audit.under_test import IDS, NOW, TENANT, AuditUnderTest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg
    from google.protobuf.message import Message

    from svc_provenance.domain.audit import ChainedEntry

JOB = IDS.new()


def selection(name: str, *, chosen: str = "t@p", job_id: str = "") -> selection_pb2.Selection:
    made = selection_pb2.Selection(
        selection_id=derive("selection", name), policy_id="p1", subject="ann@example.com", actor="spiffe://soma/executor",
        trace_id="a" * 32, reason="call 555-867-5309",
        subject_context=selection_pb2.SubjectContext(job_id=job_id, step_id="a", attempt=1),
    )  # fmt: skip
    made.chosen.capability_id = chosen
    made.create_time.FromDatetime(NOW)
    return made


def told(fact: Message, tenant: str = TENANT) -> Event:
    kind, content = fact.DESCRIPTOR.full_name, fact.SerializeToString()
    return Event(IDS.new(), kind, "selector.events", "k", tenant, NOW, content)


async def take(place: AuditUnderTest, *events: Event) -> None:
    """What the inbox does with events of one type and tenant, and what becomes of their entries."""
    async with place.postgres.transaction(events[0].tenant_id) as connection:
        await bring(place, connection, *events)
    while await PostgresStagedEntries(place.postgres).append_next():
        pass


async def bring(place: AuditUnderTest, connection: asyncpg.Connection, *events: Event) -> None:
    intake = SelectionEventHandlers(
        TraceEventHandlers(PostgresProvenanceStore(place.postgres, summary_from_proto)).selection_made, stage_entries
    )  # type: ignore[arg-type]
    await intake.handlers()[events[0].type].apply(connection, events)


async def chain(place: AuditUnderTest, tenant: str = TENANT) -> Sequence[ChainedEntry]:
    return await place.store.entries_between(tenant, None, 0, 1_000, 1_000)


async def test_a_choice_for_a_job_is_in_its_trace_and_in_the_chain(place: AuditUnderTest) -> None:
    made = selection("a", job_id=JOB)
    await take(place, told(facts_pb2.SelectionMade(selection=made)))
    [chained_entry] = await chain(place)
    audit_action = chained_entry.entry.audit_action
    assert (audit_action.action, audit_action.resource_type, audit_action.resource_id) == (
        "selection.create",
        "selection",
        made.selection_id,
    )
    assert (audit_action.subject, audit_action.actor, audit_action.policy_id, audit_action.trace_id) == (
        made.subject, made.actor, "p1", "a" * 32,
    )  # fmt: skip
    assert (audit_action.decision, audit_action.reason, chained_entry.entry.occurred_at) == ("ALLOWED", "t@p", NOW)
    assert [
        fact.entry_id
        for fact in await PostgresProvenanceStore(place.postgres, summary_from_proto).trace_entries(TENANT, JOB)
    ] == [made.selection_id]


async def test_each_of_many_choices_outside_of_jobs_can_be_proven(place: AuditUnderTest) -> None:
    made = [selection(str(number)) for number in range(5)]
    await take(
        place,
        told(facts_pb2.SelectionsMade(selections=made[:3])),
        told(facts_pb2.SelectionsMade(selections=made[3:])),
    )
    digests = {
        chained_entry.entry.audit_action.resource_id: chained_entry.entry.audit_action.after_digest
        for chained_entry in await chain(place)
    }
    for one in made:
        assert digests[one.selection_id] == hashlib.sha256(one.SerializeToString(deterministic=True)).hexdigest()
        [found], _ = await place.store.page(
            TENANT, AuditFilters(resource_type="selection", resource_id=one.selection_id), 0, 9
        )
        assert await place.store.get(TENANT, found.entry.audit_id) == found
    assert (await place.audit.verify(TENANT)).faults == []


async def test_a_choice_that_chose_nothing_has_no_entry(place: AuditUnderTest) -> None:
    await take(place, told(facts_pb2.SelectionMade(selection=selection("a", chosen="", job_id=JOB))))
    await take(place, told(facts_pb2.SelectionsMade(selections=[selection("b", chosen="")])))
    assert list(await chain(place)) == []


async def test_a_choice_is_in_the_chain_of_its_own_tenant(place: AuditUnderTest) -> None:
    made = facts_pb2.SelectionsMade(selections=[selection("a")])
    await take(place, told(made))
    await take(place, replace(told(made), tenant_id="umbrella"))
    assert [len(await chain(place, tenant)) for tenant in (TENANT, "umbrella")] == [1, 1]


async def test_a_choice_of_an_earlier_selector_has_an_entry_without_its_author(place: AuditUnderTest) -> None:
    made = selection("a")
    for name in ("subject", "actor", "trace_id", "create_time"):
        made.ClearField(name)
    await take(place, told(facts_pb2.SelectionsMade(selections=[made])))
    [chained_entry] = await chain(place)
    assert (chained_entry.entry.audit_action.subject, chained_entry.entry.occurred_at) == ("", NOW)


async def test_who_brings_choices_holds_no_chain(place: AuditUnderTest) -> None:
    """Two that bring choices of the same tenants in opposite orders would wait for each other."""
    first, second = (told(facts_pb2.SelectionsMade(selections=[selection(name)])) for name in "ab")
    async with place.postgres.transaction("*") as one, place.postgres.transaction("*") as other:
        await bring(place, one, first)
        await bring(place, other, replace(second, tenant_id="umbrella"))
        async with asyncio.timeout(20):
            await bring(place, one, replace(first, tenant_id="umbrella"))
            await bring(place, other, second)
    while await PostgresStagedEntries(place.postgres).append_next():
        pass
    assert [len(await chain(place, tenant)) for tenant in (TENANT, "umbrella")] == [2, 2]


async def test_three_members_add_each_entry_once_as_they_hear_of_it(place: AuditUnderTest) -> None:
    async with AsyncExitStack() as stack:
        for member in range(3):
            staged = AppendStagedEntries(PostgresStagedEntries(place.postgres))
            await stack.enter_async_context(
                place.postgres.listen(f"{place.postgres.schema}.{CHANNEL}", staged.on_notification)
            )
            await stack.enter_async_context(background(staged.run, f"member {member}"))
        for number in range(30):
            async with place.postgres.transaction("*") as connection:
                tenant = (TENANT, "umbrella")[number % 2]
                made = facts_pb2.SelectionsMade(selections=[selection(str(number)), selection(f"{number} again")])
                await bring(place, connection, told(made, tenant))

        async def added() -> bool:
            return [len(await chain(place, tenant)) for tenant in (TENANT, "umbrella")] == [30, 30]

        await eventually(added, within_s=30)
    for tenant in (TENANT, "umbrella"):
        assert (await place.audit.verify(tenant)).faults == []
