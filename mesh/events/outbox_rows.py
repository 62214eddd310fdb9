"""The rows of an outbox as a relay reads and marks them; no statement touches more rows than a batch.

Unsent rows are chosen by a mark on the row, never by "id > last", which would miss rows that commit late. Their ids
follow the order of a key, because whoever changes an object holds its lock until the events are committed.

When the bus has lost its memory, the sent rows there are have to be sent again. They are not marked for it: the loss
begins a generation, and a position moves over the rows of earlier ones. New events go on being sent meanwhile, except
those whose key has rows that are to be sent again: these come first, ahead of the position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.events.event import Event
from mesh.stores.postgres import FORCE_INDEX_SCAN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    import asyncpg

# One relay of a schema works at a time: two would each skip what the other has locked and so break the order of a key.
_TRY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext(current_schema() || '.outbox'))"
_COLUMNS = """
id, event_id::text, type, topic, key, tenant_id, occurred_at, payload, schema_version, causation_id, correlation_id,
traceparent, consumer_group, dlq_id
"""
_UNSENT = "WHERE sent_at IS NULL"
UNSENT = f"SELECT {_COLUMNS} FROM outbox {_UNSENT} ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED"  # noqa: S608
_EARLIER = "sent_at IS NOT NULL AND generation < $2"
_NEXT = f"""
SELECT DISTINCT topic, key FROM (SELECT topic, key FROM outbox {_UNSENT} ORDER BY id LIMIT $1{{times}}) AS next
"""  # noqa: S608
# Rows are compared whole so that no other index seems to serve. OFFSET 0 keeps the planner from joining all sent rows.
# It is asked once for each key, not for each row: of a busy key, many rows that were sent again may have to be passed.
UNSENT_UNBLOCKED = f"""
WITH blocked AS MATERIALIZED (
  SELECT topic, key FROM ({_NEXT.format(times=" * 10")}) AS keys WHERE EXISTS (
    SELECT FROM outbox AS earlier WHERE {_EARLIER}
      AND (earlier.topic, earlier.key, earlier.id) > (keys.topic, keys.key, $3)
      AND (earlier.topic, earlier.key, earlier.id) <= (keys.topic, keys.key, $4) OFFSET 0)
), last AS MATERIALIZED (
  SELECT max(id) AS id FROM (SELECT id FROM outbox {_UNSENT} ORDER BY id LIMIT $1 * 10) AS next
)
SELECT {_COLUMNS} FROM outbox
{_UNSENT} AND id <= (SELECT id FROM last) AND (topic, key) NOT IN (SELECT topic, key FROM blocked)
ORDER BY id LIMIT $1
"""  # noqa: S608
BLOCKING = f"""
SELECT earlier.* FROM ({_NEXT.format(times="")}) AS keys CROSS JOIN LATERAL (
  SELECT {_COLUMNS} FROM outbox WHERE {_EARLIER}
    AND (topic, key, id) > (keys.topic, keys.key, $3) AND (topic, key, id) <= (keys.topic, keys.key, $4)
  ORDER BY outbox.topic, outbox.key, outbox.id LIMIT $1
) AS earlier ORDER BY id LIMIT $1
"""  # noqa: S608
TO_RESEND = f"SELECT {_COLUMNS} FROM outbox WHERE {_EARLIER} AND id > $3 AND id <= $4 ORDER BY id LIMIT $1"  # noqa: S608
_SENT = "UPDATE outbox SET sent_at = clock_timestamp(), generation = $2 WHERE id = ANY($1::bigint[])"
_RESENT = "UPDATE outbox SET generation = $2 WHERE id = ANY($1::bigint[])"
_REJECTED_COLUMNS = """
id, event_id, tenant_id, type, topic, key, occurred_at, payload, schema_version, causation_id, correlation_id,
traceparent, consumer_group, dlq_id
"""
_REJECT = f"""
WITH rejected AS (DELETE FROM outbox WHERE id = $1 RETURNING {_REJECTED_COLUMNS})
INSERT INTO outbox_rejected ({_REJECTED_COLUMNS}) SELECT {_REJECTED_COLUMNS} FROM rejected
"""  # noqa: S608
_ADVANCE = "UPDATE outbox_bus SET resend_after = $1"
OLDEST = """
SELECT coalesce(extract(epoch FROM clock_timestamp() - (
  SELECT created_at FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT 1)), 0)::double precision
"""
_BUS = "SELECT epoch, generation, resend_after, resend_until FROM outbox_bus"
_FIRST_BUS = "INSERT INTO outbox_bus (epoch) VALUES ($1)"
_NEW_BUS = """
UPDATE outbox_bus SET epoch = $1, generation = generation + 1, resend_after = 0,
  resend_until = coalesce((SELECT max(id) FROM outbox), 0)
"""
# statement_timestamp() is the same for the whole statement, so that the index on sent_at serves.
DELETE_SENT = """
DELETE FROM outbox WHERE id = ANY(ARRAY(
  SELECT id FROM outbox WHERE sent_at < statement_timestamp() - $1::interval ORDER BY sent_at LIMIT $2))
"""


@dataclass(frozen=True)
class BusState:
    """The bus as the outbox knows it: its epoch, and between which ids events of earlier generations are sent again."""

    epoch: str | None = None
    generation: int = 0
    resend_after: int = 0
    resend_until: int = 0

    @property
    def is_resending(self) -> bool:
        """Whether events are left that have to be sent again."""
        return self.resend_after < self.resend_until


@dataclass(frozen=True)
class Rows:
    """Events and the ids of their rows."""

    ids: Sequence[int]
    events: Sequence[Event]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.ids)

    def first(self, count: int) -> Rows:
        """The first of them."""
        return Rows(self.ids[:count], self.events[:count])


class OutboxRows:
    """The outbox within one transaction, as `SYSTEM`, of the relay whose turn it is."""

    def __init__(self, connection: asyncpg.Connection, bus: BusState) -> None:
        self._connection = connection
        self.bus = bus

    @classmethod
    async def try_lock(cls, connection: asyncpg.Connection) -> OutboxRows | None:
        """The outbox until the transaction ends; None while another relay works on it."""
        if not await connection.fetchval(_TRY_LOCK):
            return None
        await connection.execute(FORCE_INDEX_SCAN)
        row = await connection.fetchrow(_BUS)
        return cls(connection, BusState(*row) if row else BusState())

    async def unsent(self, limit: int) -> Rows:
        """What may be sent next, in order."""
        if self.bus.is_resending:
            return await self._fetch(UNSENT_UNBLOCKED, limit, *self._to_resend())
        return await self._fetch(UNSENT, limit)

    async def blocking(self, limit: int) -> Rows:
        """What has to be sent again before something unsent may be sent, in order."""
        return await self._fetch(BLOCKING, limit, *self._to_resend()) if self.bus.is_resending else Rows((), ())

    async def to_resend(self, limit: int) -> Rows:
        """What has to be sent again next, in order."""
        return await self._fetch(TO_RESEND, limit, *self._to_resend()) if self.bus.is_resending else Rows((), ())

    async def mark_sent(self, rows: Rows) -> None:
        """Note that unsent events were sent."""
        await self._connection.execute(_SENT, rows.ids, self.bus.generation)

    async def mark_resent(self, rows: Rows) -> None:
        """Note that events ahead of the position were sent again."""
        await self._connection.execute(_RESENT, rows.ids, self.bus.generation)

    async def reject(self, row_id: int) -> None:
        """Set an event aside that the bus does not take."""
        await self._connection.execute(_REJECT, row_id)

    async def advance(self, rows: Rows) -> None:
        """Note that the events at the position were sent again; without any that all were."""
        await self._connection.execute(_ADVANCE, rows.ids[-1] if rows else self.bus.resend_until)

    async def record_epoch(self, epoch: str) -> bool:
        """Take in the epoch of the bus; True when it is another one, so that sent events have to be sent again."""
        if self.bus.epoch == epoch:
            return False
        await self._connection.execute(_FIRST_BUS if self.bus.epoch is None else _NEW_BUS, epoch)
        return self.bus.epoch is not None

    async def delete_sent(self, retention: timedelta, limit: int) -> int:
        """Remove events that were sent longer ago; gives how many. None while events have to be sent again."""
        if self.bus.is_resending:
            return 0
        answer: str = await self._connection.execute(DELETE_SENT, retention, limit)
        return int(answer.rpartition(" ")[2])

    def _to_resend(self) -> tuple[int, int, int]:
        return self.bus.generation, self.bus.resend_after, self.bus.resend_until

    async def _fetch(self, query: str, *values: int) -> Rows:
        rows = await self._connection.fetch(query, *values)
        return Rows([row["id"] for row in rows], [Event(*list(row.values())[1:]) for row in rows])
