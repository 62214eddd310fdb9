"""Audit entries that wait for their place in a chain."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from mesh.stores.postgres import SYSTEM
from svc_provenance.adapters.audit import append
from svc_provenance.domain.audit import AuditAction, Entry, time_of, time_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg
    from pydantic import JsonValue

    from mesh.stores.postgres import Postgres

CHANNEL = "audit_pending"
BATCH = 500


async def stage(connection: asyncpg.Connection, chain: str, entries: Sequence[Entry]) -> None:
    """Keeps entries until they are added to their chain, in the open transaction; holds no head."""
    await connection.execute(_STAGE, chain, [_plain(entry) for entry in entries])


class PendingEntries:
    """Adds what waits to the chains, in the order in which it came. A trigger notifies `CHANNEL` of more.

    Of several members one works at a time, at one chain a transaction: nobody waits for a head while holding another.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def add(self) -> int:
        """Adds the oldest entries of one chain; gives their number, 0 also while another member works."""
        async with self._postgres.transaction(SYSTEM) as connection:
            if not await connection.fetchval(_LEAD, self._postgres.schema):
                return 0
            rows = await connection.fetch(_TAKE, BATCH)
            if rows:
                chain = rows[0]["tenant_id"]
                await append(connection, chain, [_entry(chain, row["entry"]) for row in rows])
            return len(rows)


def _plain(entry: Entry) -> dict[str, JsonValue]:
    return {
        "audit_id": entry.audit_id,
        "occur_time": time_text(entry.occurred_at),
        "action": asdict(entry.audit_action),
    }


def _entry(chain: str, plain: dict[str, JsonValue]) -> Entry:
    at = time_of(str(plain["occur_time"]))
    # Releases before this one gave the action another name; it is the one object of an entry.
    action = next((value for value in plain.values() if isinstance(value, dict)), None)
    if action is None:
        raise TypeError("an entry that waits has no audit action")
    return Entry(
        chain, 0, str(plain["audit_id"]), at, at, AuditAction(**{name: str(text) for name, text in action.items()})
    )


_STAGE = "INSERT INTO audit_pending (tenant_id, entry) SELECT $1, entry FROM jsonb_array_elements($2::jsonb) AS entry"
_LEAD = "SELECT pg_try_advisory_xact_lock(hashtext('soma.audit_pending'), hashtext($1))"
_TAKE = """
WITH oldest AS (
    SELECT id FROM audit_pending WHERE tenant_id = (SELECT tenant_id FROM audit_pending ORDER BY id LIMIT 1)
    ORDER BY id LIMIT $1
), taken AS (
    DELETE FROM audit_pending AS p USING oldest WHERE p.id = oldest.id RETURNING p.id, p.tenant_id, p.entry
)
SELECT tenant_id, entry FROM taken ORDER BY id
"""
