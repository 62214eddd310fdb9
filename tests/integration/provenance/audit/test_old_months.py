"""Months of a chain that go, and what is left."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest

from svc_provenance.adapters.postgres.audit import _APPEND, _row
from svc_provenance.app.anchoring import AuditMaintenance
from svc_provenance.domain.audit import AUDIT_ACTION_FIELDS, EMPTY_CHAIN, AuditAction, Entry, link_entry
from tests.chaos.provenance.audit.under_test import TENANT, AuditUnderTest, event

if TYPE_CHECKING:
    from datetime import date


async def aged(place: AuditUnderTest, chain: str, count: int, days: int) -> date:
    """A chain whose entries were recorded so many days ago; gives their month."""
    moment = place.clock.now() - timedelta(days=days)
    await place.owner.execute("SELECT soma_make_month('audit_events', $1)", moment.date().replace(day=1))
    audit_action = AuditAction(**dict.fromkeys(AUDIT_ACTION_FIELDS, "x"))
    end, rows = EMPTY_CHAIN, []
    for number in range(1, count + 1):
        chained_entry = link_entry(end, Entry(chain, number, f"old{number}", moment, moment, audit_action))
        rows.append(_row(chained_entry))
        end = chained_entry.position
    await place.owner.executemany(_APPEND, rows)
    await place.owner.execute("INSERT INTO audit_heads VALUES ($1, $2, $3, $4)", chain, count, end.digest, moment)
    return moment.date().replace(day=1)


def maintenance_of(place: AuditUnderTest, days: int) -> AuditMaintenance:
    async def longest() -> int:
        return days

    return AuditMaintenance(place.store, place.signer, longest, place.clock)


async def test_old_months_are_dropped_and_what_is_left_still_verifies(place: AuditUnderTest) -> None:
    await aged(place, TENANT, 4, days=500)
    await aged(place, "umbrella", 2, days=500)
    await place.anchor()
    await place.race(1, 3)
    assert await maintenance_of(place, 400).run() == 6
    report = await place.audit.verify(TENANT)
    assert (report.faults, report.entries, report.first_sequence, report.last_sequence) == ([], 3, 5, 7)
    assert (await place.audit.verify("umbrella")).faults == []
    await place.tell(event(9, tenant="umbrella"))
    assert (await place.audit.verify("umbrella")).first_sequence == 3
    assert await maintenance_of(place, 400).run() == 0


async def test_a_month_younger_than_the_term_stays(place: AuditUnderTest) -> None:
    await aged(place, TENANT, 4, days=500)
    assert await maintenance_of(place, 490).run() == 0
    assert (await place.audit.verify(TENANT)).entries == 4


@pytest.mark.parametrize(("days", "said"), [(1, "90 days"), (500, "lose their start")])
async def test_a_month_goes_neither_early_nor_without_the_chains_new_start(
    place: AuditUnderTest, days: int, said: str
) -> None:
    month = await aged(place, TENANT, 4, days=days)
    with pytest.raises(asyncpg.RaiseError, match=said):
        await place.store.drop_month(month, [])
    assert (await place.audit.verify(TENANT)).entries == 4


async def test_what_strayed_moves_into_the_month_that_is_made_for_it(place: AuditUnderTest) -> None:
    await aged(place, TENANT, 4, days=500)
    later = place.clock.now() + timedelta(days=300)
    await place.owner.execute("SET session_replication_role = origin")
    await place.owner.execute("UPDATE audit_heads SET recorded_at = $1", later)
    await place.race(1, 2)
    assert await place.owner.fetchval("SELECT count(*) FROM audit_events_default") == 2
    await place.store.create_partitions(later.date())
    assert await place.owner.fetchval("SELECT count(*) FROM audit_events_default") == 0
    assert (await place.audit.verify(TENANT)).entries == 6


async def test_every_part_has_the_index_of_actions_a_new_one_as_well(place: AuditUnderTest) -> None:
    month = (place.clock.now() + timedelta(days=400)).date().replace(day=1)
    await place.owner.execute("SELECT soma_make_month('audit_events', $1)", month)
    parts = await place.owner.fetchval("SELECT count(*) FROM pg_inherits WHERE inhparent = 'audit_events'::regclass")
    of_parts = await place.owner.fetchval(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'audit_events_action'::regclass"
    )
    assert of_parts == parts > 1
