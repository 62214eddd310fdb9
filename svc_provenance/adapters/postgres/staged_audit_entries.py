"""Audit entries that are staged until they are appended to a chain."""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass
from typing import TYPE_CHECKING

from mesh.logging import get_logger
from mesh.stores.postgres import SYSTEM
from mesh.telemetry import counter
from svc_provenance.adapters.postgres.audit import append_entries
from svc_provenance.domain.audit import AuditAction, Entry, format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg
    from pydantic import JsonValue

    from mesh.stores.postgres import Postgres

CHANNEL = "audit_pending"
BATCH = 500
_log = get_logger(__name__)


@dataclass(frozen=True)
class _FailedRow:
    """A row that cannot be decoded, and why."""

    id: int
    tenant_id: str
    entry: JsonValue
    error: str


async def stage_entries(connection: asyncpg.Connection, chain: str, entries: Sequence[Entry]) -> None:
    """Stages entries until they are appended to their chain, in the open transaction; locks no head."""
    await connection.execute(_STAGE, chain, [_to_json(entry) for entry in entries])


class PostgresStagedEntries:
    """Appends staged entries to the chains, in the order in which they came. A trigger notifies `CHANNEL` of more.

    Of several replicas one works at a time, at one chain a transaction, so that none locks two heads. A row that cannot
    be decoded is moved to `audit_pending_failed`, logged and counted; none waits behind it.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._failed = counter("audit_pending_failed_total", "Staged audit entries that could not be decoded.")

    async def append_next(self) -> int:
        """Appends the oldest entries of one chain; returns their number, 0 also while another replica works."""
        async with self._postgres.transaction(SYSTEM) as connection:
            if not await connection.fetchval(_TRY_LOCK, self._postgres.schema):
                return 0
            rows = await connection.fetch(_DELETE_OLDEST, BATCH)
            entries, failed = _decode(rows)
            if entries:
                await append_entries(connection, entries[0].chain, entries)
            if failed:
                await connection.executemany(_MOVE_TO_FAILED, [astuple(row) for row in failed])
        for row in failed:
            self._failed.labels().inc()
            _log.error("a staged audit entry cannot be decoded", id=row.id, tenant_id=row.tenant_id, error=row.error)
        return len(rows)


def _to_json(entry: Entry) -> dict[str, JsonValue]:
    return {
        "audit_id": entry.audit_id,
        "occur_time": format_time(entry.occurred_at),
        "action": asdict(entry.audit_action),
    }


def _decode(rows: Sequence[asyncpg.Record]) -> tuple[Sequence[Entry], Sequence[_FailedRow]]:
    entries, failed = list[Entry](), list[_FailedRow]()
    for row in rows:
        try:
            entries.append(_from_json(row["tenant_id"], row["entry"]))
        except (LookupError, TypeError, ValueError) as error:
            failed.append(_FailedRow(row["id"], row["tenant_id"], row["entry"], type(error).__name__))
    return entries, failed


def _from_json(chain: str, json_entry: JsonValue) -> Entry:
    """Returns the entry of a row; LookupError, TypeError or ValueError when it contains none."""
    if not isinstance(json_entry, dict):
        raise TypeError("a staged entry is no object")
    at = parse_time(str(json_entry["occur_time"]))
    action = json_entry.get("action")
    if not isinstance(action, dict):
        raise TypeError("a staged entry has no audit action")
    return Entry(
        chain, 0, str(json_entry["audit_id"]), at, at, AuditAction(**{name: str(text) for name, text in action.items()})
    )


_STAGE = "INSERT INTO audit_pending (tenant_id, entry) SELECT $1, entry FROM jsonb_array_elements($2::jsonb) AS entry"
_TRY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('soma.audit_pending'), hashtext($1))"
_DELETE_OLDEST = """
WITH oldest AS (
    SELECT id FROM audit_pending WHERE tenant_id = (SELECT tenant_id FROM audit_pending ORDER BY id LIMIT 1)
    ORDER BY id LIMIT $1
), taken AS (
    DELETE FROM audit_pending AS p USING oldest WHERE p.id = oldest.id RETURNING p.id, p.tenant_id, p.entry
)
SELECT id, tenant_id, entry FROM taken ORDER BY id
"""
# The driver takes JSON's null for NULL.
_MOVE_TO_FAILED = """
INSERT INTO audit_pending_failed (id, tenant_id, entry, error) VALUES ($1, $2, coalesce($3, 'null'::jsonb), $4)
"""
