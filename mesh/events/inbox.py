"""Applies events: the effect and the event's id in one transaction, so that each is applied once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Self

from mesh import tasks
from mesh.events.applying import Applier, ApplyError, BatchHandler, Handler, Handlers
from mesh.events.backlog import Backlog, divide
from mesh.events.dead_letters import DeadLetter
from mesh.lifecycle import background
from mesh.logging import exc_info_if_unexpected
from mesh.stores.postgres import SYSTEM
from mesh.telemetry import counter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from mesh.clock import Clock
    from mesh.events.applying import WorkItem
    from mesh.events.backlog import Key
    from mesh.events.bus import Bus, Delivery, Subscription
    from mesh.events.dead_letters import DeadLetterSink
    from mesh.events.event import Codec
    from mesh.stores.postgres import Postgres

__all__ = ["BatchHandler", "Consumer", "DeadLetter", "Handler", "Handlers"]

BATCH = 500  # events of one transaction at most, where a consumer is not told otherwise
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_LAG_EVERY_S, _CLEANUP_EVERY_S = 5.0, 3600.0
_CLEANUP_ROWS = 20_000
_GRACE_S = 10.0
_MAX_IN_FLIGHT = 2_000
_log = logging.getLogger(__name__)

# statement_timestamp() is the same for the whole statement, so that the index on handled_at serves.
DELETE_OLD_IDS = """
DELETE FROM inbox WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM inbox WHERE handled_at < statement_timestamp() - $1::interval ORDER BY handled_at LIMIT $2))
"""


class _StoppingError(Exception):
    """The consumer ends; what is in hand is left to the next one."""


@dataclass(frozen=True)
class _FailedDelivery:
    """A delivery that failed. Without `work` it holds no event."""

    delivery: Delivery
    work: WorkItem | None
    failure: ApplyError

    @property
    def key(self) -> Key:
        """What waits for it."""
        return self.delivery.topic, self.delivery.key


class Consumer:
    """One member of a consumer group, applying events in the background while entered.

    `handlers` are called by event type, within a transaction of the event's tenant; types without one are passed over.
    Up to `batch` events share a transaction while nothing fails. When something does, the batch is taken back and its
    events are applied one a transaction; a failing one is tried `attempts` times with growing pauses, for `timeout_s`
    each, then dead-lettered in the transaction that marks it as done. Its key waits meanwhile, other keys go on. While
    the database is away nothing counts as a try.
    """

    def __init__(  # noqa: PLR0917
        self,
        bus: Bus,
        postgres: Postgres,
        codec: Codec,
        group: str,
        topics: Sequence[str],
        handlers: Handlers,
        *,
        dead_letter_sink: DeadLetterSink,
        clock: Clock,
        attempts: int = 5,
        parallel: int = 4,
        batch: int = BATCH,
        timeout_s: float = 10.0,
        retention: timedelta = timedelta(days=7),
        on_lag: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._bus = bus
        self._postgres = postgres
        self._group = group
        self._topics = tuple(topics)
        self._applier = Applier(
            postgres, codec, group, handlers, dead_letter_sink=dead_letter_sink, timeout_s=timeout_s
        )
        self._clock = clock
        self._attempts = attempts
        self._parallel = parallel
        self._batch = batch
        self._retry_slots = asyncio.Semaphore(max(1, parallel // 2))
        self._retention = retention
        self._on_lag = on_lag
        self._failures = counter("consumer_failures_total", "Tries to apply an event that failed.", ("group", "cause"))
        self._backlog = Backlog(_MAX_IN_FLIGHT)
        self._stopping = False
        self._pausing: set[asyncio.Task[None]] = set()
        self._retries: set[asyncio.Task[None]] = set()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Join the group and start."""
        self._stopping = False
        self._backlog = Backlog(_MAX_IN_FLIGHT)
        async with contextlib.AsyncExitStack() as stack:
            subscription = await stack.enter_async_context(self._bus.subscribe(self._group, self._topics))
            name = f"consumer.{self._group}"
            reading = await stack.enter_async_context(self._begin(self._read, subscription, f"{name}.read"))
            watching = await stack.enter_async_context(self._begin(self._watch, subscription, f"{name}.lag"))
            working = [
                await stack.enter_async_context(self._begin(self._work, subscription, f"{name}.apply"))
                for _ in range(self._parallel)
            ]
            stack.push_async_callback(self._end, subscription, (reading, watching), working)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Take no more events, finish those in hand, leave the group."""
        await self._stack.aclose()

    def _begin(
        self, work: Callable[[Subscription], Awaitable[None]], subscription: Subscription, name: str
    ) -> contextlib.AbstractAsyncContextManager[asyncio.Task[None]]:
        return background(partial(work, subscription), name, clock=self._clock)

    async def _end(
        self,
        subscription: Subscription,
        feeding: Sequence[asyncio.Task[None]],
        working: Sequence[asyncio.Task[None]],
    ) -> None:
        self._stopping = True
        subscription.close()
        await self._backlog.close()
        await tasks.end(*feeding)
        for task in self._pausing:
            task.cancel()
        pending = (*working, *self._retries)
        await asyncio.wait(pending, timeout=_GRACE_S)
        await tasks.end(*pending, *self._retries)

    async def _read(self, subscription: Subscription) -> None:
        async for batch in subscription:
            await self._backlog.put(batch)

    async def _work(self, subscription: Subscription) -> None:
        with contextlib.suppress(_StoppingError):
            while batch := await self._backlog.take(self._batch):
                await self._apply_batch(subscription, batch)

    async def _apply_batch(self, subscription: Subscription, batch: Sequence[Delivery]) -> None:
        """Apply a batch and acknowledge it, but for what fails and what waits for that in the same key."""
        items, failed = self._decode_batch(batch)
        if items:
            try:
                await self._retry_during_outage(lambda: self._applier.apply(items))
            except ApplyError as failure:
                failed |= await self._one_by_one(items, failure)
        done, waiting = divide(batch, {key: each.delivery for key, each in failed.items()})
        self._backlog.put_back(waiting)
        await self._finish(subscription, done, {(each.topic, each.key) for each in batch} - failed.keys())
        for failed_delivery in failed.values():
            retrying = asyncio.create_task(
                self._retry(subscription, failed_delivery), name=f"consumer {self._group} retry"
            )
            self._retries.add(retrying)
            retrying.add_done_callback(self._retry_ended)

    def _decode_batch(self, batch: Sequence[Delivery]) -> tuple[list[WorkItem], dict[Key, _FailedDelivery]]:
        """The items in a batch up to the first of each key that holds no event."""
        items: list[WorkItem] = []
        failed: dict[Key, _FailedDelivery] = {}
        for delivery in batch:
            if failed and (delivery.topic, delivery.key) in failed:
                continue
            try:
                work = self._applier.read(delivery)
            except ApplyError as failure:
                failed[delivery.topic, delivery.key] = self._record_failure(delivery, None, failure)
                continue
            if work is not None:
                items.append(work)
        return items, failed

    async def _one_by_one(self, items: Sequence[WorkItem], first: ApplyError) -> dict[Key, _FailedDelivery]:
        """Apply items that failed together, each in a transaction of its own; gives the first to fail of each key."""
        failed: dict[Key, _FailedDelivery] = {}
        for work in items:
            if work.key in failed:
                continue
            try:
                if work is first.work:  # this was its first try
                    raise first
                await self._retry_during_outage(partial(self._applier.apply, (work,)))
            except ApplyError as failure:
                failed[work.key] = self._record_failure(work.delivery, work, failure)
        return failed

    async def _retry(self, subscription: Subscription, failed_delivery: _FailedDelivery) -> None:
        """Try a delivery again until it is applied or given up."""
        with contextlib.suppress(_StoppingError):
            tries, pause, work = 1, _FIRST_PAUSE_S, failed_delivery.work
            while work is not None and not failed_delivery.failure.is_permanent and tries < self._attempts:
                await self._pause(pause)
                tries, pause = tries + 1, min(pause * 2, _LONGEST_PAUSE_S)
                try:
                    async with self._retry_slots:
                        await self._retry_during_outage(partial(self._applier.apply, (work,)))
                except ApplyError as failure:
                    failed_delivery = self._record_failure(failed_delivery.delivery, work, failure)
                else:
                    break
            else:
                event = work.event if work else None
                async with self._retry_slots:
                    await self._retry_during_outage(
                        partial(
                            self._applier.dead_letter, failed_delivery.delivery, event, failed_delivery.failure, tries
                        )
                    )
            await self._finish(subscription, [failed_delivery.delivery], [failed_delivery.key])

    def _retry_ended(self, task: asyncio.Task[None]) -> None:
        self._retries.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s holds up a key: trying its event again has failed", self._group, exc_info=error)

    def _record_failure(self, delivery: Delivery, work: WorkItem | None, failure: ApplyError) -> _FailedDelivery:
        self._failures.labels(self._group, failure.cause.lower()).inc()
        _log.warning("%s failed on event %s: %s", self._group, delivery.event_id, failure, exc_info=failure)
        return _FailedDelivery(delivery, work, failure)

    async def _finish(self, subscription: Subscription, done: Sequence[Delivery], keys: Collection[Key]) -> None:
        if done:
            await self._retry_during_outage(lambda: subscription.ack(*done))
        await self._backlog.done(len(done), keys)

    async def _retry_during_outage(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Do it, however long an outage lasts; _StoppingError when the consumer ends before."""
        pause = _FIRST_PAUSE_S
        while not self._stopping:
            try:
                await attempt()
            except ApplyError:
                raise
            except Exception as failure:  # noqa: BLE001 - an outage: the events must not be given up
                _log.warning(
                    "%s cannot apply events now: %s", self._group, failure, exc_info=exc_info_if_unexpected(failure)
                )
            else:
                return
            await self._pause(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
        raise _StoppingError

    async def _pause(self, seconds: float) -> None:
        """Pause; the end of the consumer cuts it."""
        task = asyncio.current_task()
        if self._stopping or task is None:
            raise _StoppingError
        self._pausing.add(task)
        try:
            await self._clock.sleep(seconds)
        finally:
            self._pausing.discard(task)

    async def _watch(self, subscription: Subscription) -> None:
        """Report the lag and forget old ids."""
        last_cleanup = self._clock.monotonic()
        while True:
            try:
                self._on_lag(await subscription.lag())
                if self._clock.monotonic() - last_cleanup >= _CLEANUP_EVERY_S:
                    await self._clean_up()
                    last_cleanup = self._clock.monotonic()
            except Exception as error:  # noqa: BLE001 - an outage: the next round asks again
                _log.warning("%s cannot tell its lag now: %s", self._group, error)
            await self._clock.sleep(_LAG_EVERY_S)

    async def _clean_up(self) -> None:
        """Forget old ids, some at a time."""
        answer = ""
        while answer != "DELETE 0":
            async with self._postgres.transaction(SYSTEM) as connection:
                answer = await connection.execute(DELETE_OLD_IDS, self._retention, _CLEANUP_ROWS)
