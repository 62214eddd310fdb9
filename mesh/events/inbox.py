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
from mesh.events.applying import Applier, FailedError, Handler, Handlers, Together
from mesh.events.backlog import Backlog, divide
from mesh.events.dead_letters import DeadLetter
from mesh.lifecycle import background
from mesh.logging import unforeseen
from mesh.stores.postgres import SYSTEM
from mesh.telemetry import counter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from mesh.clock import Clock
    from mesh.events.applying import Work
    from mesh.events.backlog import Key
    from mesh.events.bus import Bus, Delivery, Subscription
    from mesh.events.dead_letters import Undertaking
    from mesh.events.event import Codec
    from mesh.stores.postgres import Postgres

__all__ = ["Consumer", "DeadLetter", "Handler", "Handlers", "Together"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_LAG_EVERY_S = 5.0
_TIDY_EVERY_S = 3600.0
_TIDY_ROWS = 20_000
_GRACE_S = 10.0
_IN_HAND = 2_000
_log = logging.getLogger(__name__)

# statement_timestamp() is the same for the whole statement, so that the index on handled_at serves.
FORGET = """
DELETE FROM inbox WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM inbox WHERE handled_at < statement_timestamp() - $1::interval ORDER BY handled_at LIMIT $2))
"""


class _EndingError(Exception):
    """The consumer ends; what is in hand is left to the next one."""


@dataclass(frozen=True)
class _Patient:
    """A delivery that failed. Without `work` it holds no event."""

    delivery: Delivery
    work: Work | None
    failure: FailedError

    @property
    def key(self) -> Key:
        """What waits for it."""
        return self.delivery.topic, self.delivery.key


class Consumer:
    """One member of a consumer group, applying events in the background while entered.

    `handlers` are called by event type, within a transaction of the event's tenant; types without one are passed over.
    Up to `batch` events share a transaction while nothing fails. When something does, the batch is taken back and its
    events are applied one a transaction; a failing one is tried `attempts` times with growing pauses, for `timeout_s`
    each, then buried in the transaction that marks it as done. Its key waits meanwhile, other keys go on. While the
    database is away nothing counts as a try.
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
        undertaker: Undertaking,
        clock: Clock,
        attempts: int = 5,
        parallel: int = 4,
        batch: int = 500,
        timeout_s: float = 10.0,
        keep: timedelta = timedelta(days=7),
        on_lag: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._bus = bus
        self._postgres = postgres
        self._group = group
        self._topics = tuple(topics)
        self._applier = Applier(postgres, codec, group, handlers, undertaker=undertaker, timeout_s=timeout_s)
        self._clock = clock
        self._attempts = attempts
        self._parallel = parallel
        self._batch = batch
        self._beds = asyncio.Semaphore(max(1, parallel // 2))
        self._keep = keep
        self._on_lag = on_lag
        self._failures = counter("consumer_failures_total", "Tries to apply an event that failed.", ("group", "cause"))
        self._backlog = Backlog(_IN_HAND)
        self._stopping = False
        self._resting: set[asyncio.Task[None]] = set()
        self._nursing: set[asyncio.Task[None]] = set()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Join the group and start."""
        self._stopping = False
        self._backlog = Backlog(_IN_HAND)
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
        for task in self._resting:
            task.cancel()
        pending = (*working, *self._nursing)
        await asyncio.wait(pending, timeout=_GRACE_S)
        await tasks.end(*pending, *self._nursing)

    async def _read(self, subscription: Subscription) -> None:
        async for batch in subscription:
            await self._backlog.put(batch)

    async def _work(self, subscription: Subscription) -> None:
        with contextlib.suppress(_EndingError):
            while batch := await self._backlog.take(self._batch):
                await self._settle(subscription, batch)

    async def _settle(self, subscription: Subscription, batch: Sequence[Delivery]) -> None:
        """Apply a batch and acknowledge it, but for what fails and what waits for that in the same key."""
        works, sick = self._admit(batch)
        if works:
            try:
                await self._persist(lambda: self._applier.apply(works))
            except FailedError as failure:
                sick |= await self._one_by_one(works, failure)
        done, waiting = divide(batch, {key: each.delivery for key, each in sick.items()})
        self._backlog.put_back(waiting)
        await self._finish(subscription, done, {(each.topic, each.key) for each in batch} - sick.keys())
        for patient in sick.values():
            nursing = asyncio.create_task(self._nurse(subscription, patient), name=f"consumer {self._group} nurse")
            self._nursing.add(nursing)
            nursing.add_done_callback(self._nursed)

    def _admit(self, batch: Sequence[Delivery]) -> tuple[list[Work], dict[Key, _Patient]]:
        """The works in a batch up to the first of each key that holds no event."""
        works: list[Work] = []
        sick: dict[Key, _Patient] = {}
        for delivery in batch:
            if sick and (delivery.topic, delivery.key) in sick:
                continue
            try:
                work = self._applier.read(delivery)
            except FailedError as failure:
                sick[delivery.topic, delivery.key] = self._ill(delivery, None, failure)
                continue
            if work is not None:
                works.append(work)
        return works, sick

    async def _one_by_one(self, works: Sequence[Work], first: FailedError) -> dict[Key, _Patient]:
        """Apply works that failed together, each in a transaction of its own; gives the first to fail of each key."""
        sick: dict[Key, _Patient] = {}
        for work in works:
            if work.key in sick:
                continue
            try:
                if work is first.work:  # this was its first try
                    raise first
                await self._persist(partial(self._applier.apply, (work,)))
            except FailedError as failure:
                sick[work.key] = self._ill(work.delivery, work, failure)
        return sick

    async def _nurse(self, subscription: Subscription, patient: _Patient) -> None:
        """Try a delivery again until it is applied or given up."""
        with contextlib.suppress(_EndingError):
            tries, pause, work = 1, _FIRST_PAUSE_S, patient.work
            while work is not None and not patient.failure.final and tries < self._attempts:
                await self._rest(pause)
                tries, pause = tries + 1, min(pause * 2, _LONGEST_PAUSE_S)
                try:
                    async with self._beds:
                        await self._persist(partial(self._applier.apply, (work,)))
                except FailedError as failure:
                    patient = self._ill(patient.delivery, work, failure)
                else:
                    break
            else:
                event = work.event if work else None
                async with self._beds:
                    await self._persist(partial(self._applier.bury, patient.delivery, event, patient.failure, tries))
            await self._finish(subscription, [patient.delivery], [patient.key])

    def _nursed(self, task: asyncio.Task[None]) -> None:
        self._nursing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s holds up a key: trying its event again has failed", self._group, exc_info=error)

    def _ill(self, delivery: Delivery, work: Work | None, failure: FailedError) -> _Patient:
        self._failures.labels(self._group, failure.cause.lower()).inc()
        _log.warning("%s failed on event %s: %s", self._group, delivery.event_id, failure, exc_info=failure)
        return _Patient(delivery, work, failure)

    async def _finish(self, subscription: Subscription, done: Sequence[Delivery], keys: Collection[Key]) -> None:
        if done:
            await self._persist(lambda: subscription.ack(*done))
        await self._backlog.done(len(done), keys)

    async def _persist(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Do it, however long an outage lasts; _EndingError when the consumer ends before."""
        pause = _FIRST_PAUSE_S
        while not self._stopping:
            try:
                await attempt()
            except FailedError:
                raise
            except Exception as failure:  # noqa: BLE001 - an outage: the events must not be given up
                _log.warning("%s cannot apply events now: %s", self._group, failure, exc_info=unforeseen(failure))
            else:
                return
            await self._rest(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
        raise _EndingError

    async def _rest(self, seconds: float) -> None:
        """Pause; the end of the consumer cuts it."""
        task = asyncio.current_task()
        if self._stopping or task is None:
            raise _EndingError
        self._resting.add(task)
        try:
            await self._clock.sleep(seconds)
        finally:
            self._resting.discard(task)

    async def _watch(self, subscription: Subscription) -> None:
        """Report the lag and forget old ids."""
        tidied = self._clock.monotonic()
        while True:
            try:
                self._on_lag(await subscription.lag())
                if self._clock.monotonic() - tidied >= _TIDY_EVERY_S:
                    await self._tidy()
                    tidied = self._clock.monotonic()
            except Exception as error:  # noqa: BLE001 - an outage: the next round asks again
                _log.warning("%s cannot tell its lag now: %s", self._group, error)
            await self._clock.sleep(_LAG_EVERY_S)

    async def _tidy(self) -> None:
        """Forget old ids, some at a time."""
        answer = ""
        while answer != "DELETE 0":
            async with self._postgres.transaction(SYSTEM) as connection:
                answer = await connection.execute(FORGET, self._keep, _TIDY_ROWS)
