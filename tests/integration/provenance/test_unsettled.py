"""What nobody decides about and what nobody hears of again does not stay for ever either."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.stores.partitions import UNKNOWN, month_of
from tests.integration.provenance.test_partitions import made_in
from tests.integration.provenance.test_retention import NOW, PLATFORM, RetentionHarness, archive

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["archive"]


async def dead_letter(archive: RetentionHarness, state: str, updated_at: datetime) -> None:
    async with archive.postgres.transaction("acme") as connection:
        await connection.execute(
            "INSERT INTO dlq_messages (dlq_id, tenant_id, topic, key, event_id, event_type, detail, attempts, value, "
            "state, updated_at) VALUES (gen_random_uuid(), 'acme', 't', $1, 'e', 'noted', '', 1, '\\x01', $2, $3)",
            state,
            state,
            updated_at,
        )


async def left(archive: RetentionHarness, table: str, column: str) -> list[str]:
    async with archive.postgres.transaction("acme") as connection:
        rows = await connection.fetch(f"SELECT {column}::text AS name FROM {table} ORDER BY 1")
    return [row["name"] for row in rows]


@pytest.mark.parametrize("state", ["waiting", "blocked", "requeued", "exhausted"])
async def test_a_dead_letter_that_nothing_changed_for_half_a_year_is_removed(
    archive: RetentionHarness, state: str
) -> None:
    await dead_letter(archive, state, NOW - timedelta(days=181))
    await dead_letter(archive, "exhausted", NOW - timedelta(days=179))
    assert await archive.retention().run() == {"dlq_messages": 1}
    assert await left(archive, "dlq_messages", "state") == ["exhausted"]


@pytest.mark.parametrize("state", ["resolved", "discarded", "expired"])
async def test_a_settled_dead_letter_is_removed_after_its_term(archive: RetentionHarness, state: str) -> None:
    await dead_letter(archive, state, NOW - timedelta(days=PLATFORM.dead_letters_days + 1))
    await dead_letter(archive, state, NOW - timedelta(days=PLATFORM.dead_letters_days - 1))
    assert await archive.retention().run() == {"dlq_messages": 1}


async def test_what_is_told_of_an_asset_that_was_never_stored_is_removed(archive: RetentionHarness) -> None:
    old, young, stored = made_in(2026, 4), made_in(2026, 7), made_in(2026, 4, 1)
    async with archive.postgres.transaction("acme") as connection:
        for asset_id, kind in ((old, None), (young, None), (stored, "image")):
            await connection.execute(
                "INSERT INTO asset_provenance (asset_id, tenant_id, asset_type) VALUES ($1, 'acme', $2)", asset_id, kind
            )
    await archive.retention().run()
    assert await left(archive, "asset_provenance", "asset_id") == sorted([young, stored])


async def test_facts_of_ids_that_hold_no_moment_are_removed_for_every_tenant(archive: RetentionHarness) -> None:
    assert month_of("job-1") == UNKNOWN
    for tenant in ("acme", "bank", "umbrella"):
        await archive.job(tenant, f"job-{tenant}", NOW - timedelta(days=61), facts=2)
        await archive.job(tenant, f"young-{tenant}", NOW - timedelta(days=59), facts=2)
    await archive.set_days("bank", traces_days=70, receipts_days=70)
    await archive.retention().run()
    young = {f"young-{tenant}" for tenant in ("acme", "bank", "umbrella")}
    assert await archive.left() == await archive.left("receipts") == young | {"job-bank"}
