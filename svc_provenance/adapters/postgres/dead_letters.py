"""Dead letters in Postgres, and their events sent again through the outbox."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from mesh.events.audit import canonical
from mesh.events.event import Event
from mesh.stores.postgres import SYSTEM
from svc_provenance.adapters.postgres.filtering import where
from svc_provenance.adapters.postgres.listing import SCAN_LIMIT, Listing
from svc_provenance.app.dead_letters import MAX_REMAINING
from svc_provenance.domain.dead_letters import DeadLetterRecord
from svc_provenance.domain.ids import is_uuid
from svc_provenance.domain.pages import PageCursor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import asyncpg

    from mesh.events.audit import Auditor
    from mesh.events.event import Codec
    from mesh.events.outbox import Outbox
    from mesh.stores.postgres import Postgres
    from svc_provenance.app.dead_letters import DeadLetterFilters

CHANNEL = "dead_letters"
_DEAD_LETTER: TypeAdapter[DeadLetterRecord] = TypeAdapter(DeadLetterRecord)
_COLUMN = {"group": "consumer_group"}
_STORED = [field.name for field in fields(DeadLetterRecord) if field.name != "size_bytes"]
_MUTABLE = (
    "state", "cause", "detail", "attempts", "requeues", "reason", "sent_id", "updated_at", "requeue_at", "expires_at",
)  # fmt: skip


class PostgresDeadLetterStore:
    """`DeadLetterStore`. A trigger notifies `CHANNEL` of changes; a page of a list scans `scan_limit` rows at most."""

    def __init__(
        self, postgres: Postgres, outbox: Outbox, codec: Codec, auditor: Auditor, scan_limit: int = SCAN_LIMIT
    ) -> None:
        self._postgres = postgres
        self._outbox = outbox
        self._codec = codec
        self._auditor = auditor
        self._listing = Listing("dlq_messages", _COLUMNS, ("created_at", "dlq_id"), scan_limit)

    async def change(
        self, tenant_id: str, dlq_id: str, decide: Callable[[DeadLetterRecord], DeadLetterRecord], *, audited: bool
    ) -> DeadLetterRecord | None:
        async with self._postgres.transaction(tenant_id or SYSTEM) as connection:
            before = await lock_dead_letter(connection, tenant_id, dlq_id)
            if before is None:
                return None
            after = decide(before)
            if after == before:
                return before
            await update_dead_letter(connection, after)
            if after.sent_id != before.sent_id:
                await self._outbox.add(connection, self._requeued_event(after))
            if audited:
                await self._auditor.record(
                    connection,
                    action="dead_letter.write",
                    resource_type="dead_letter",
                    resource_id=dlq_id,
                    before=_audited_fields(before),
                    after=_audited_fields(after),
                    tenant_id=tenant_id,
                    reason=after.reason,
                )
            return after

    def _requeued_event(self, dead_letter: DeadLetterRecord) -> Event:
        """Returns the dead letter's event under its new id, for the group that could not apply it alone."""
        event = self._codec.decode(dead_letter.value)
        return Event(
            event_id=dead_letter.sent_id,
            type=event.type,
            topic=event.topic,
            key=event.key,
            tenant_id=event.tenant_id,
            occurred_at=event.occurred_at,
            payload=event.payload,
            schema_version=event.schema_version,
            causation_id=event.event_id,
            correlation_id=event.correlation_id,
            traceparent=event.traceparent,
            group=dead_letter.group,
            dlq_id=dead_letter.dlq_id,
        )

    async def get(self, tenant_id: str, dlq_id: str) -> DeadLetterRecord | None:
        if not is_uuid(dlq_id):
            return None
        async with self._postgres.transaction(tenant_id or SYSTEM) as connection:
            row = await connection.fetchrow(_GET, tenant_id, dlq_id)
        return _dead_letter(row) if row else None

    async def page(
        self, tenant_id: str, filters: DeadLetterFilters, after: PageCursor | None, limit: int
    ) -> tuple[Sequence[DeadLetterRecord], PageCursor | None]:
        bounds = (
            ("correlation_id = {}", filters.correlation_id),
            ("(created_at, dlq_id) < ({}, {}::text::uuid)", *((after.at, after.id_) if after else (None, None))),
        )
        async with self._postgres.transaction(tenant_id or SYSTEM) as connection:
            rows, last = await self._listing.page(connection, tenant_id, bounds, _filter_conditions(filters), limit)
        return [_dead_letter(row) for row in rows], PageCursor(last["created_at"], last["dlq_id"]) if last else None

    async def requeueable(self, tenant_id: str, filters: DeadLetterFilters, limit: int) -> tuple[Sequence[str], int]:
        conditions, values = where(4, *_filter_conditions(filters), ("correlation_id = {}", filters.correlation_id))
        statement = _REQUEUEABLE.format(filters=conditions)
        async with self._postgres.transaction(tenant_id or SYSTEM) as connection:
            rows = await connection.fetch(statement, tenant_id, limit, limit + MAX_REMAINING, *values)
        return [row["dlq_id"] for row in rows], rows[0]["total"] if rows else 0


async def lock_dead_letter(connection: asyncpg.Connection, tenant_id: str, dlq_id: str) -> DeadLetterRecord | None:
    """Returns a dead letter, locked until the transaction ends; None for an unknown one, and for what is no id."""
    if not is_uuid(dlq_id):
        return None
    row = await connection.fetchrow(f"{_GET} FOR UPDATE", tenant_id, dlq_id)
    return _dead_letter(row) if row else None


async def add_dead_letter(connection: asyncpg.Connection, dead_letter: DeadLetterRecord) -> None:
    """Inserts a dead letter in the open transaction, unless there is one of its id."""
    values = asdict(dead_letter)
    await connection.execute(_ADD, *(values[name] for name in _STORED))


async def update_dead_letter(connection: asyncpg.Connection, dead_letter: DeadLetterRecord) -> None:
    """Updates a dead letter, in the open transaction."""
    await connection.execute(_UPDATE, dead_letter.dlq_id, *(getattr(dead_letter, name) for name in _MUTABLE))


def _dead_letter(row: asyncpg.Record) -> DeadLetterRecord:
    return _DEAD_LETTER.validate_python(dict(row.items()))


def _audited_fields(dead_letter: DeadLetterRecord) -> bytes:
    """Returns what the audit entry has the digest of: all but the event and the time."""
    return canonical(
        {name: value for name, value in asdict(dead_letter).items() if name not in {"value", "updated_at"}}
    )


def _filter_conditions(filters: DeadLetterFilters) -> Sequence[tuple[str, str]]:
    return (
        ("state = {}", filters.state.value if filters.state else ""),
        ("cause = {}", filters.cause.value if filters.cause else ""),
        ("topic = {}", filters.topic),
        ("consumer_group = {}", filters.group),
        ("event_type = {}", filters.event_type),
    )


_READ = {"group": 'consumer_group AS "group"', "dlq_id": "dlq_id::text AS dlq_id"}
_LISTED = ", ".join(_READ.get(name, name) for name in _STORED if name != "value")
_COLUMNS = f"{_LISTED}, octet_length(value) AS size_bytes"
_GET = f"SELECT {_COLUMNS}, value FROM dlq_messages WHERE tenant_id = $1 AND dlq_id = $2::text::uuid"  # noqa: S608
_REQUEUEABLE = """
SELECT dlq_id::text AS dlq_id, count(*) OVER () AS total FROM (
    SELECT dlq_id, created_at FROM dlq_messages
    WHERE tenant_id = $1 AND cause <> 'malformed' AND state IN ('waiting', 'blocked', 'exhausted', 'expired'){filters}
    ORDER BY created_at, dlq_id LIMIT $3
) AS counted ORDER BY created_at, counted.dlq_id LIMIT $2
"""
_ADD = f"""
INSERT INTO dlq_messages ({", ".join(_COLUMN.get(name, name) for name in _STORED)})
VALUES ({", ".join(f"${number}" for number in range(1, len(_STORED) + 1))}) ON CONFLICT (dlq_id) DO NOTHING
"""  # noqa: S608
_SET = ", ".join(f"{name} = ${number}" for number, name in enumerate(_MUTABLE, 2))
# A replica that holds a claim signals an earlier change: the claim ends.
_UPDATE = f"UPDATE dlq_messages SET news = news + 1, claimed_until = NULL, {_SET} WHERE dlq_id = $1"  # noqa: S608
