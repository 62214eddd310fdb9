"""Staged audit entries that cannot be decoded."""

from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from svc_provenance.adapters.postgres.staged_audit_entries import PostgresStagedEntries, stage_entries
from svc_provenance.domain.audit import AUDIT_ACTION_FIELDS, AuditAction, Entry, format_time
from tests.chaos.provenance.audit.under_test import IDS, NOW, TENANT, AuditUnderTest

OTHER = "umbrella"


def entry(name: str, chain: str = TENANT) -> Entry:
    texts = {field: f"{field} of {name}" for field in AUDIT_ACTION_FIELDS} | {
        "resource_id": name,
        "decision": "ALLOWED",
    }
    return Entry(chain, 0, IDS.new(), NOW, NOW, AuditAction(**texts))


def stored(one: Entry) -> str:
    action = {name: getattr(one.audit_action, name) for name in AUDIT_ACTION_FIELDS}
    return json.dumps({"audit_id": one.audit_id, "occur_time": format_time(NOW), "action": action})


async def keep(place: AuditUnderTest, *entries: Entry) -> None:
    for one in entries:
        async with place.postgres.transaction(one.chain) as connection:
            await stage_entries(connection, one.chain, [one])


async def insert(place: AuditUnderTest, stored: str, tenant: str = TENANT) -> None:
    await place.owner.execute("INSERT INTO audit_pending (tenant_id, entry) VALUES ($1, $2::jsonb)", tenant, stored)


async def add_all(place: AuditUnderTest) -> None:
    while await PostgresStagedEntries(place.postgres).append_next():
        pass


async def chained(place: AuditUnderTest, tenant: str) -> list[str]:
    return [
        each.entry.audit_action.resource_id for each in await place.store.entries_between(tenant, None, 0, 1_000, 1_000)
    ]


@pytest.mark.parametrize(
    "bad",
    [
        '{"audit_id": "a", "occur_time": "2026-01-01T00:00:00.000000Z"}',
        '{"audit_id": "a", "occur_time": "yesterday", "action": {}}',
        '{"audit_id": "a", "occur_time": "2026-01-01T00:00:00.000000Z", "action": {"unknown": "field"}}',
        "[1.5]",
        "null",
    ],
)
async def test_a_row_that_cannot_be_decoded_is_set_aside_and_keeps_none_waiting(
    place: AuditUnderTest, bad: str
) -> None:
    await insert(place, bad)
    await keep(place, entry("behind it"), entry("of another", OTHER))
    with capture_logs() as lines:
        await add_all(place)
        await add_all(place)
    assert (await chained(place, TENANT), await chained(place, OTHER)) == (["behind it"], ["of another"])
    [failed] = await place.owner.fetch("SELECT tenant_id, entry::text FROM audit_pending_failed")
    assert (failed["tenant_id"], json.loads(failed["entry"])) == (TENANT, json.loads(bad))
    assert [(line["log_level"], line["tenant_id"]) for line in lines] == [("error", TENANT)]
    assert await place.owner.fetchval("SELECT count(*) FROM audit_pending") == 0


async def test_what_was_set_aside_is_put_back(place: AuditUnderTest) -> None:
    repaired = stored(entry("a"))
    await insert(place, '{"audit_id": "a"}')
    await add_all(place)
    await place.owner.execute("UPDATE audit_pending_failed SET entry = $1::jsonb", repaired)
    await place.owner.execute("""
        WITH repaired AS (DELETE FROM audit_pending_failed RETURNING tenant_id, entry)
        INSERT INTO audit_pending (tenant_id, entry) SELECT tenant_id, entry FROM repaired
    """)
    await add_all(place)
    assert await chained(place, TENANT) == ["a"]
    assert (await place.audit.verify(TENANT)).faults == []
