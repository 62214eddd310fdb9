"""Sends what the outbox holds to the bus."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from mesh.errors import Reason, SomaError
from mesh.events.bus import Record
from mesh.events.outbox_rows import OLDEST, OutboxRows
from mesh.lifecycle import background
from mesh.logging import exc_info_if_unexpected
from mesh.stores.postgres import FORCE_INDEX_SCAN, SYSTEM
from mesh.telemetry import counter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mesh.clock import Clock
    from mesh.events.bus import Bus
    from mesh.events.event import Codec, Event
    from mesh.events.outbox_rows import Rows
    from mesh.stores.postgres import Postgres

_BATCH = 500
_POLL_S = 1.0
_PUBLISH_TIMEOUT_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_CLEANUP_EVERY_S = 300.0
_CLEANUP_ROWS = 5_000
_GRACE_S = 2.0
_log = logging.getLogger(__name__)


class Relay:
    """Publishes a schema's events in the background while entered; everything committed is sent before it ends.

    Sent events are kept for `retention` and sent again when the bus has lost its memory, batch by batch, while new
    events go on being sent: consumers apply each id once, and remember ids for longer than that. A new event waits for
    those of its key that are sent again, because a consumer that has not applied them yet must get them first (ADR
    0022).
    An event that is larger than the bus allows is moved to `outbox_rejected`, logged and counted; none waits behind it.
    `on_lag` receives the age in seconds of the oldest unsent event.
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
        retention: timedelta = timedelta(hours=24),
        publish_timeout_s: float = _PUBLISH_TIMEOUT_S,
        on_lag: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._postgres = postgres
        self._bus = bus
        self._codec = codec
        self._clock = clock
        self._batch = batch
        self._poll_s = poll_s
        self._retention = retention
        self._publish_timeout_s = publish_timeout_s
        self._on_lag = on_lag
        rejected = counter("outbox_rejected_total", "Events that are larger than the bus allows.", ("context",))
        self._rejected = rejected.labels(postgres.schema)
        self.lag_seconds = 0.0
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._last_cleanup = clock.monotonic()
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
            task = await stack.enter_async_context(background(self._run, "outbox-relay", clock=self._clock))
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
        """Send until nothing committed is unsent; gives the number sent. Raises when bus or database do not answer.

        What only has to be sent again is left to the next start.
        """
        await self._detect_loss()
        sent = 0
        while count := await self._send_unsent() + await self._resend_blocking():
            sent += count
        return sent

    async def lag(self) -> float:
        """Age of the oldest unsent event, in seconds; 0 when there is none."""
        async with self._postgres.transaction(SYSTEM) as connection:
            await connection.execute(FORCE_INDEX_SCAN)
            return float(await connection.fetchval(OLDEST))

    async def _end(self, task: asyncio.Task[None]) -> None:
        """Let a batch in hand be marked as sent; it is cut when that takes too long."""
        self._stopping.set()
        self._wake.set()
        await asyncio.wait((task,), timeout=_GRACE_S)

    async def _run(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                await self._check()
                sent = await self._send_unsent()
                sent += await self._resend_blocking() or await self._resend()
            except Exception as error:  # noqa: BLE001 - whatever it is, the events must not be given up
                _log.warning(
                    "outbox %s waits: %s", self._postgres.schema, error, exc_info=exc_info_if_unexpected(error)
                )
                self._checked = -math.inf  # the bus may have lost its memory
                await _wait_at_most(self._stopping, pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
                continue
            pause = _FIRST_PAUSE_S
            if sent < self._batch and not self._stopping.is_set():
                await _wait_at_most(self._wake, self._poll_s)

    async def _check(self) -> None:
        """What need not be done with every batch."""
        now = self._clock.monotonic()
        if now - self._checked < self._poll_s:
            return
        self.lag_seconds = await self.lag()
        self._on_lag(self.lag_seconds)
        await self._detect_loss()
        await self._clean_up()
        self._checked = now

    async def _send_unsent(self) -> int:
        async with self._postgres.transaction(SYSTEM) as connection:
            outbox = await OutboxRows.try_lock(connection)
            if outbox is None or not (rows := await outbox.unsent(self._batch)):
                return 0
            done = await self._publish(outbox, rows)
            await outbox.mark_sent(done)
            return len(done)

    async def _resend_blocking(self) -> int:
        """Send again what unsent events wait for."""
        async with self._postgres.transaction(SYSTEM) as connection:
            outbox = await OutboxRows.try_lock(connection)
            if outbox is None or not (rows := await outbox.blocking(self._batch)):
                return 0
            done = await self._publish(outbox, rows)
            await outbox.mark_resent(done)
            return len(done)

    async def _resend(self) -> int:
        """Send a batch of what the bus has lost."""
        async with self._postgres.transaction(SYSTEM) as connection:
            outbox = await OutboxRows.try_lock(connection)
            if outbox is None or not outbox.bus.is_resending:
                return 0
            rows = await outbox.to_resend(self._batch)
            if rows:
                rows = await self._publish(outbox, rows)
            else:
                _log.warning("outbox %s has sent again what the bus had lost", self._postgres.schema)
            await outbox.advance(rows)
            return len(rows)

    async def _publish(self, outbox: OutboxRows, rows: Rows) -> Rows:
        """Publish events; give those that need not be published any more, at least the first.

        When something is too large they are published one by one, until one is rejected or the time is up.
        """
        if await self._try_publish(rows.events):
            return rows
        until = self._clock.monotonic() + self._publish_timeout_s
        for count, event in enumerate(rows.events, 1):
            if not await self._try_publish([event]):
                await outbox.reject(rows.ids[count - 1])
                self._rejected.inc()
                _log.error(
                    "event %s of type %s is larger than the bus allows: outbox %s has set it aside as rejected",
                    event.event_id, event.type, self._postgres.schema,
                )  # fmt: skip
                return self._some_done(rows, count)
            if self._clock.monotonic() > until:
                return self._some_done(rows, count)
        return rows

    def _some_done(self, rows: Rows, count: int) -> Rows:
        """The first of the rows; the others are due at once."""
        self._wake.set()
        return rows.first(count)

    async def _try_publish(self, events: Sequence[Event]) -> bool:
        """Publish events; False when one of them, or all together, are larger than the bus allows."""
        records = [Record(each.topic, each.key, each.event_id, self._codec.encode(each)) for each in events]
        try:
            async with asyncio.timeout(self._publish_timeout_s):
                await self._bus.publish(records)
        except SomaError as error:
            if error.reason is not Reason.PAYLOAD_TOO_LARGE:
                raise
            return False
        return True

    async def _detect_loss(self) -> None:
        """Begin to send again what was sent when the bus is not the one that took it."""
        async with asyncio.timeout(self._publish_timeout_s):
            epoch = await self._bus.epoch()
        async with self._postgres.transaction(SYSTEM) as connection:
            outbox = await OutboxRows.try_lock(connection)
            if outbox is not None and await outbox.record_epoch(epoch):
                _log.warning("the bus has lost its memory; outbox %s sends again", self._postgres.schema)

    async def _clean_up(self) -> None:
        """Forget old sent events now and then: a batch a check, so that nothing waits for long."""
        if self._clock.monotonic() - self._last_cleanup < _CLEANUP_EVERY_S:
            return
        async with self._postgres.transaction(SYSTEM) as connection:
            outbox = await OutboxRows.try_lock(connection)
            removed = await outbox.delete_sent(self._retention, _CLEANUP_ROWS) if outbox is not None else 0
        if removed < _CLEANUP_ROWS:
            self._last_cleanup = self._clock.monotonic()


async def _wait_at_most(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, for some seconds at most."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
