"""Audit chains in Postgres."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mesh.stores.postgres import SYSTEM
from mesh.stores.retention import MONTHS_AHEAD
from svc_provenance.adapters.postgres.filtering import where
from svc_provenance.adapters.postgres.listing import SCAN_LIMIT, Listing
from svc_provenance.app.audit import ChainState
from svc_provenance.domain.audit import (
    AUDIT_ACTION_FIELDS,
    EMPTY_CHAIN,
    AuditAction,
    ChainedEntry,
    ChainPosition,
    Entry,
    SignedStatement,
    format_time,
    from_base64url,
    link_entry,
    to_base64url,
)
from svc_provenance.domain.tenant_scope import PLATFORM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    import asyncpg

    from mesh.stores.postgres import Postgres
    from svc_provenance.app.audit import AuditFilters

_DROP_TIMEOUT_S = 600.0
_MAX_CLOCK_SKEW = timedelta(days=1)


async def append_entries(
    connection: asyncpg.Connection, chain: str, entries: Sequence[Entry]
) -> Sequence[ChainedEntry]:
    """Appends entries to a chain, in the open transaction; sets their sequence and record time.

    The row of the chain's head is locked until the transaction ends: one appender at a time, one successor an entry.
    """
    row = await connection.fetchrow(_LOCK_HEAD, chain, EMPTY_CHAIN.digest)
    head, now, chained = ChainPosition(row["sequence"], row["digest"]), row["now"], []
    for entry in entries:
        appended = link_entry(head, replace(entry, chain=chain, sequence=head.sequence + 1, recorded_at=now))
        chained.append(appended)
        head = appended.position
    await connection.executemany(_APPEND, [_row(appended) for appended in chained])
    await connection.execute(_SET_HEAD, chain, head.sequence, head.digest, now)
    return chained


class PostgresAuditStore:
    """An `AuditStore` and an `AnchoringStore`; a page of a list scans `scan_limit` entries at most."""

    def __init__(self, postgres: Postgres, scan_limit: int = SCAN_LIMIT) -> None:
        self._postgres = postgres
        self._listing = Listing("audit_events", _NAMES, ("sequence",), scan_limit)

    async def page(
        self, chain: str, filters: AuditFilters, before: int, limit: int
    ) -> tuple[Sequence[ChainedEntry], int]:
        # An entry is recorded before it occurs only where clocks differ: older months contain none.
        month = _first_of_month(filters.start - _MAX_CLOCK_SKEW) if filters.start else None
        indexed, others = _by_index(filters)
        bounds = (("sequence < {}", before or None), ("recorded_at >= {}", month), *indexed)
        filtered = (
            *others,
            ("decision = {}", filters.decision.value if filters.decision else ""),
            ("occurred_at >= {}", filters.start),
            ("occurred_at < {}", filters.end),
        )
        async with self._postgres.transaction(_tenant(chain)) as connection:
            rows, last = await self._listing.page(connection, chain, bounds, filtered, limit)
        return [_chained_entry(row) for row in rows], last["sequence"] if last else 0

    async def get(self, chain: str, audit_id: str) -> ChainedEntry | None:
        async with self._postgres.transaction(_tenant(chain)) as connection:
            row = await connection.fetchrow(_GET, chain, audit_id)
        return _chained_entry(row) if row else None

    async def entries_between(
        self, chain: str, after: ChainedEntry | None, first: int, last: int, limit: int
    ) -> Sequence[ChainedEntry]:
        after_sequence = after.entry.sequence if after else None
        after_time = after.entry.recorded_at if after else None
        conditions, values = where(
            4, ("(sequence, recorded_at) > ({}, {})", after_sequence, after_time), ("sequence >= {}", first or None)
        )
        async with self._postgres.transaction(_tenant(chain)) as connection:
            rows = await connection.fetch(_ENTRIES.format(filters=conditions), chain, last, limit, *values)
        return [_chained_entry(row) for row in rows]

    async def chain_state(self, chain: str) -> ChainState:
        async with self._postgres.transaction(_tenant(chain)) as connection:
            row = await connection.fetchrow(_STATE, chain)
        head = ChainPosition(row["sequence"], row["digest"]) if row["sequence"] is not None else None
        return ChainState(head, row["last"], _start(chain, row))

    async def newest_anchored(self, chain: str) -> int:
        async with self._postgres.transaction(_tenant(chain)) as connection:
            sequence = await connection.fetchval("SELECT sequence FROM audit_anchored WHERE tenant_id = $1", chain)
        return int(sequence or 0)

    async def chains_due(self, entries: int, before: datetime) -> Mapping[str, ChainPosition]:
        async with self._postgres.transaction(SYSTEM) as connection:
            await connection.execute(_MARK_ANCHORED)
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(_CHAINS_DUE, entries, before)
        return {row["tenant_id"]: ChainPosition(row["sequence"], row["digest"]) for row in rows}

    async def record_anchor(self, chain: str, sequence: int, at: datetime) -> None:
        async with self._postgres.transaction(_tenant(chain)) as connection:
            await connection.execute(_RECORD_ANCHOR, chain, sequence, at)

    async def create_partitions(self, today: date) -> None:
        async with self._postgres.transaction(SYSTEM) as connection:
            await connection.execute("SELECT soma_audit_months($1, $2)", MONTHS_AHEAD, today)

    async def oldest_month(self, before: datetime) -> date | None:
        async with self._postgres.transaction(SYSTEM) as connection:
            month: date | None = await connection.fetchval(_OLDEST_MONTH, before)
        return month

    async def last_positions(self, month: date) -> Mapping[str, ChainPosition]:
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(_LAST_POSITIONS, month, timeout=_DROP_TIMEOUT_S)
        return {row["tenant_id"]: ChainPosition(row["sequence"], row["digest"]) for row in rows}

    async def drop_month(self, month: date, starts: Sequence[SignedStatement]) -> int:
        rows = [
            {
                "tenant_id": start.chain,
                "sequence": start.position.sequence,
                "digest": start.position.digest.hex(),
                "key_version": start.key_version,
                "signature": to_base64url(start.signature),
                "created_at": format_time(start.created_at),
            }
            for start in starts
        ]
        async with self._postgres.transaction(SYSTEM) as connection:
            dropped = await connection.fetchval(
                "SELECT soma_drop_audit_month($1, $2)", month, rows, timeout=_DROP_TIMEOUT_S
            )
        return int(dropped)


def _by_index(filters: AuditFilters) -> tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]]:
    """Returns the filters that one index serves, the most selective one, and the other filters."""
    resource = (("resource_type = {}", filters.resource_type), ("resource_id = {}", filters.resource_id))
    subject, action = (("subject = {}", filters.subject),), (("action = {}", filters.action),)
    if filters.resource_type and filters.resource_id:
        return resource, (*subject, *action)
    if filters.subject:
        return subject, (*resource, *action)
    # No index orders the entries of a resource type alone by their sequence.
    return action, resource


def _tenant(chain: str) -> str:
    return SYSTEM if chain == PLATFORM else chain


def _first_of_month(time: datetime) -> datetime:
    """Returns the start of the month, and so of the partition, of a record time."""
    utc = time.astimezone(UTC)
    return datetime(utc.year, utc.month, 1, tzinfo=UTC)


def _row(chained_entry: ChainedEntry) -> tuple[object, ...]:
    entry = chained_entry.entry
    audit_action = (getattr(entry.audit_action, name) for name in AUDIT_ACTION_FIELDS)
    ids = (entry.chain, entry.sequence, entry.audit_id, entry.occurred_at, entry.recorded_at)
    return (*ids, *audit_action, chained_entry.previous_digest, chained_entry.digest)


def _chained_entry(row: asyncpg.Record) -> ChainedEntry:
    entry = Entry(
        chain=row["tenant_id"],
        sequence=row["sequence"],
        audit_id=row["audit_id"],
        occurred_at=row["occurred_at"],
        recorded_at=row["recorded_at"],
        audit_action=AuditAction(**{name: row[name] for name in AUDIT_ACTION_FIELDS}),
    )
    return ChainedEntry(entry, row["previous_digest"], row["digest"])


def _start(chain: str, row: asyncpg.Record) -> SignedStatement | None:
    if row["start_sequence"] is None:
        return None
    try:
        position = ChainPosition(row["start_sequence"], bytes.fromhex(row["start_digest"]))
        signature = from_base64url(row["signature"])
    except ValueError:  # no signature fits it
        position, signature = ChainPosition(row["start_sequence"], b""), b""
    return SignedStatement(chain, position, row["created_at"], row["key_version"], signature)


_COLUMNS = (
    "tenant_id", "sequence", "audit_id", "occurred_at", "recorded_at", *AUDIT_ACTION_FIELDS, "previous_digest",
    "digest",
)  # fmt: skip
_NAMES = ", ".join(_COLUMNS)
_LOCK_HEAD = """
INSERT INTO audit_heads AS h (tenant_id, sequence, digest, recorded_at) VALUES ($1, 0, $2, '-infinity')
ON CONFLICT (tenant_id) DO UPDATE SET tenant_id = excluded.tenant_id
RETURNING sequence, digest, greatest(recorded_at, clock_timestamp()) AS now
"""
_APPEND = f"INSERT INTO audit_events ({_NAMES}) VALUES ({', '.join(f'${n + 1}' for n in range(len(_COLUMNS)))})"  # noqa: S608
_SET_HEAD = "UPDATE audit_heads SET sequence = $2, digest = $3, recorded_at = $4 WHERE tenant_id = $1"
_GET = f"SELECT {_NAMES} FROM audit_events WHERE tenant_id = $1 AND audit_id = $2 ORDER BY sequence LIMIT 1"  # noqa: S608
_ENTRIES = f"""
SELECT {_NAMES} FROM audit_events
WHERE tenant_id = $1 AND sequence <= $2{{filters}} ORDER BY sequence, recorded_at LIMIT $3
"""  # noqa: S608
_STATE = """
SELECT h.sequence, h.digest, s.sequence AS start_sequence, s.digest AS start_digest, s.key_version, s.signature,
    s.created_at, coalesce((SELECT max(sequence) FROM audit_events WHERE tenant_id = $1), 0) AS last
FROM (SELECT) AS one LEFT JOIN audit_heads h ON h.tenant_id = $1 LEFT JOIN audit_starts s ON s.tenant_id = $1
"""
# Chains that did not grow since their last anchor are marked, so that a poll reads only those that did; a trigger
# removes the mark. OFFSET 0 keeps the planner from reading all anchors.
_NEWEST_ANCHOR = "SELECT sequence, anchored_at FROM audit_anchored WHERE tenant_id = h.tenant_id OFFSET 0"
_MARK_ANCHORED = f"""
WITH still AS (
    SELECT h.tenant_id FROM audit_heads h CROSS JOIN LATERAL ({_NEWEST_ANCHOR}) a
    WHERE NOT h.anchored AND h.sequence <= a.sequence ORDER BY h.tenant_id LIMIT 1000 FOR UPDATE OF h SKIP LOCKED
)
UPDATE audit_heads SET anchored = true WHERE tenant_id = ANY(ARRAY(SELECT tenant_id FROM still))
"""  # noqa: S608
_CHAINS_DUE = f"""
SELECT h.tenant_id, h.sequence, h.digest FROM audit_heads h LEFT JOIN LATERAL ({_NEWEST_ANCHOR}) a ON true
WHERE NOT h.anchored AND h.sequence > coalesce(a.sequence, 0)
    AND (a.sequence IS NULL OR h.sequence - a.sequence >= $1 OR a.anchored_at <= $2)
ORDER BY a.anchored_at NULLS FIRST LIMIT 1000
"""  # noqa: S608
_RECORD_ANCHOR = """
INSERT INTO audit_anchored AS a (tenant_id, sequence, anchored_at) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id) DO UPDATE SET sequence = excluded.sequence, anchored_at = excluded.anchored_at
WHERE a.sequence < excluded.sequence
"""
_OLDEST_MONTH = r"""
SELECT month FROM (
    SELECT min(to_date(right(c.relname, 7), 'YYYY_MM')) AS month
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'audit_events'::regclass AND c.relname ~ '_\d{4}_\d{2}$'
) AS oldest
WHERE month + interval '1 month' <= $1::timestamptz
"""
# Chains are found one after the other by index, and of each its last entry alone. A comparison of two types could not
# be made by index before the policy of the table has seen the row.
_IN_MONTH = "recorded_at >= $1::date::timestamptz AND recorded_at < ($1::date + interval '1 month')::timestamptz"
_LAST_POSITIONS = f"""
WITH RECURSIVE every (tenant_id) AS (
    (SELECT tenant_id FROM audit_events WHERE {_IN_MONTH} ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant_id FROM audit_events AS t WHERE t.tenant_id > e.tenant_id AND {_IN_MONTH}
            ORDER BY tenant_id LIMIT 1)
    FROM every AS e WHERE e.tenant_id IS NOT NULL
)
SELECT last.* FROM every AS e CROSS JOIN LATERAL (
    SELECT tenant_id, sequence, digest FROM audit_events WHERE tenant_id = e.tenant_id AND {_IN_MONTH}
    ORDER BY sequence DESC LIMIT 1
) AS last
"""  # noqa: S608
