"""Sends what the outbox holds to the bus."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from mesh import tasks
from mesh.errors import SomaError
from mesh.events.bus import Record
from mesh.events.event import Event
from mesh.logging import unforeseen
from mesh.stores.postgres import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg

    from mesh.clock import Clock
    from mesh.events.bus import Bus
    from mesh.events.event import Codec
    from mesh.stores.postgres import Postgres

_BATCH = 500
_POLL_S = 1.0
_PUBLISH_TIMEOUT_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_TIDY_EVERY_S = 300.0
_TIDY_ROWS = 20_000
_GRACE_S = 2.0
_log = logging.getLogger(__name__)

# One relay of a schema works at a time: two would each skip what the other has locked and so break the order of a key.
# Unsent rows are chosen by a mark on the row, never by "id > last", which would miss rows that commit late. Their ids
# follow the order of a key, because whoever changes an object holds its lock until the events are committed.
_TURN = "SELECT pg_try_advisory_xact_lock(hashtext(current_schema() || '.outbox'))"
_UNSENT = """
SELECT id, event_id::text, type, topic, key, tenant_id, occurred_at, payload, schema_version, causation_id,
       correlation_id, traceparent, consumer_group, dlq_id
FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_SENT = "UPDATE outbox SET sent_at = clock_timestamp() WHERE id = ANY($1::bigint[])"
_LAG = """
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::double precision
FROM outbox WHERE sent_at IS NULL
"""
_KNOWN_EPOCH = "SELECT epoch FROM outbox_bus FOR UPDATE"
_KEEP_EPOCH = "INSERT INTO outbox_bus (epoch) VALUES ($1) ON CONFLICT (single) DO UPDATE SET epoch = excluded.epoch"
_SEND_AGAIN = "UPDATE outbox SET sent_at = NULL WHERE sent_at IS NOT NULL"
_FORGET = """
DELETE FROM outbox WHERE id = ANY(ARRAY(
  SELECT id FROM outbox WHERE sent_at < clock_timestamp() - $1::interval LIMIT $2))
"""


class Relay:
    """Publishes a schema's events in the background while entered; everything committed is sent before it ends.

    Sent events are kept for `keep` and sent again when the bus has lost its memory: consumers apply each id once, and
    remember ids for longer than that. `on_lag` receives the age in seconds of the oldest unsent event.
    """

    def __init__(
        self,
        postgres: Postgres,
        bus: Bus,
        codec: Codec,
        clock: Clock,
        *,
        batch: int = _BATCH,
        poll_s: float = _POLL_S,
        keep: timedelta = timedelta(hours=24),
        publish_timeout_s: float = _PUBLISH_TIMEOUT_S,
        on_lag: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._postgres = postgres
        self._bus = bus
        self._codec = codec
        self._clock = clock
        self._batch = batch
        self._poll_s = poll_s
        self._keep = keep
        self._publish_timeout_s = publish_timeout_s
        self._on_lag = on_lag
        self.lag_seconds = 0.0
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._tidied = clock.monotonic()
        self._checked = -math.inf
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start; what an earlier run left unsent goes first."""
        self._stopping.clear()
        self._checked = -math.inf
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(
                self._postgres.listen(f"{self._postgres.schema}.outbox", lambda _: self._wake.set())
            )
            task = asyncio.create_task(self._run(), name=f"relay {self._postgres.schema}")
            stack.push_async_callback(self._end, task)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop, then send the rest as far as the bus answers; the next start sends what remains."""
        await self._stack.aclose()
        try:
            await self.flush()
        except (SomaError, TimeoutError, OSError) as error:
            _log.warning("outbox %s is left unsent at the end: %s", self._postgres.schema, error)

    async def flush(self) -> int:
        """Send until nothing committed is unsent; gives the number sent. Raises when bus or database do not answer."""
        await self._notice_loss()
        sent = 0
        while count := await self._send_batch():
            sent += count
        return sent

    async def lag(self) -> float:
        """Age of the oldest unsent event, in seconds; 0 when there is none."""
        async with self._postgres.transaction(SYSTEM) as connection:
            return float(await connection.fetchval(_LAG))

    async def _end(self, task: asyncio.Task[None]) -> None:
        """Let a batch in hand be marked as sent; cut it when that takes too long."""
        self._stopping.set()
        self._wake.set()
        await asyncio.wait((task,), timeout=_GRACE_S)
        await tasks.end(task)

    async def _run(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                await self._check()
                sent = await self._send_batch()
            except Exception as error:  # noqa: BLE001 - whatever it is, the events must not be given up
                _log.warning("outbox %s waits: %s", self._postgres.schema, error, exc_info=unforeseen(error))
                self._checked = -math.inf  # the bus may have lost its memory
                await _either(self._stopping, pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
                continue
            pause = _FIRST_PAUSE_S
            if sent < self._batch and not self._stopping.is_set():
                await _either(self._wake, self._poll_s)

    async def _check(self) -> None:
        """What need not be done with every batch."""
        now = self._clock.monotonic()
        if now - self._checked < self._poll_s:
            return
        self.lag_seconds = await self.lag()
        self._on_lag(self.lag_seconds)
        await self._notice_loss()
        await self._tidy()
        self._checked = now

    async def _send_batch(self) -> int:
        async with self._postgres.transaction(SYSTEM) as connection:
            if not await connection.fetchval(_TURN):
                return 0
            rows = await connection.fetch(_UNSENT, self._batch)
            if not rows:
                return 0
            async with asyncio.timeout(self._publish_timeout_s):
                await self._bus.publish([self._record(row) for row in rows])
            await connection.execute(_SENT, [row[0] for row in rows])
            return len(rows)

    async def _notice_loss(self) -> None:
        """Mark sent events as unsent when the bus is not the one that took them."""
        async with asyncio.timeout(self._publish_timeout_s):
            epoch = await self._bus.epoch()
        async with self._postgres.transaction(SYSTEM) as connection:
            if not await connection.fetchval(_TURN):
                return
            known = await connection.fetchval(_KNOWN_EPOCH)
            if known == epoch:
                return
            if known is not None:
                again = await connection.execute(_SEND_AGAIN)
                _log.warning("the bus has lost its memory; outbox %s sends again: %s", self._postgres.schema, again)
            await connection.execute(_KEEP_EPOCH, epoch)

    async def _tidy(self) -> None:
        """Forget old sent events now and then."""
        if self._clock.monotonic() - self._tidied < _TIDY_EVERY_S:
            return
        answer = ""
        while answer != "DELETE 0":
            async with self._postgres.transaction(SYSTEM) as connection:
                answer = await connection.execute(_FORGET, self._keep, _TIDY_ROWS)
        self._tidied = self._clock.monotonic()

    def _record(self, row: asyncpg.Record) -> Record:
        _, *values = row  # in the order of the event's fields
        event = Event(*values)
        return Record(event.topic, event.key, event.event_id, self._codec.encode(event))


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, for some seconds at most."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
