"""Applies events: the effect and the event's id in one transaction, so that each is applied once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Self

from mesh import tasks
from mesh.events.chains import Chains
from mesh.events.event import Event
from mesh.stores.postgres import SYSTEM, is_connection_failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import asyncpg

    from mesh.clock import Clock
    from mesh.events.bus import Bus, Delivery, Subscription
    from mesh.events.event import Codec
    from mesh.stores.postgres import Postgres

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_LAG_EVERY_S = 5.0
_TIDY_EVERY_S = 3600.0
_GRACE_S = 10.0
_IN_HAND = 512
_CAUSE_CHARACTERS = 300
_log = logging.getLogger(__name__)

_CLAIM = "INSERT INTO inbox (consumer_group, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"
_FORGET = "DELETE FROM inbox WHERE handled_at < clock_timestamp() - $1::interval"


@dataclass(frozen=True)
class DeadLetter:
    """An event that could not be applied. `event` is None when its bytes were none; `cause` is for operators."""

    group: str
    topic: str
    key: str
    event_id: str
    value: bytes
    event: Event | None
    cause: str
    attempts: int


Handler = Callable[["asyncpg.Connection", Event], Awaitable[None]]
Bury = Callable[["asyncpg.Connection", DeadLetter], Awaitable[None]]


class _HandlerFailedError(Exception):
    """The handler refused the event; its cause says why."""


class Consumer:
    """One member of a consumer group, applying events in the background while entered.

    `handlers` are called by event type, within the transaction of the event's tenant; types without one are passed
    over. A failing event is tried `attempts` times with growing pauses, then given to `bury` in the transaction that
    marks it as done; its key waits meanwhile, other keys go on. While the database is away nothing counts as a try.
    """

    def __init__(  # noqa: PLR0917
        self,
        bus: Bus,
        postgres: Postgres,
        codec: Codec,
        group: str,
        topics: Sequence[str],
        handlers: Mapping[str, Handler],
        *,
        bury: Bury,
        clock: Clock,
        attempts: int = 5,
        parallel: int = 4,
        keep: timedelta = timedelta(days=7),
        on_lag: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._bus = bus
        self._postgres = postgres
        self._codec = codec
        self._group = group
        self._topics = tuple(topics)
        self._handlers = dict(handlers)
        self._bury = bury
        self._clock = clock
        self._attempts = attempts
        self._places = asyncio.Semaphore(parallel)
        self._keep = keep
        self._on_lag = on_lag
        self._stopping = False
        self._resting: set[asyncio.Task[None]] = set()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Join the group and start."""
        self._stopping = False
        async with contextlib.AsyncExitStack() as stack:
            subscription = await stack.enter_async_context(self._bus.subscribe(self._group, self._topics))
            reading = asyncio.create_task(self._read(subscription), name=f"consumer {self._group}")
            watching = asyncio.create_task(self._watch(subscription), name=f"consumer watch {self._group}")
            stack.push_async_callback(self._end, subscription, reading, watching)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Take no more events, finish those in hand, leave the group."""
        await self._stack.aclose()

    async def _end(self, subscription: Subscription, reading: asyncio.Task[None], watching: asyncio.Task[None]) -> None:
        watching.cancel()
        self._stopping = True
        subscription.close()
        for task in self._resting:
            task.cancel()
        await asyncio.wait((reading,), timeout=_GRACE_S)
        await tasks.end(reading, watching)

    async def _read(self, subscription: Subscription) -> None:
        async with Chains(_IN_HAND) as chains:
            async for batch in subscription:
                for delivery in batch:
                    key = f"{delivery.topic}/{delivery.key}"
                    await chains.put(key, partial(self._settle, subscription, delivery))

    async def _settle(self, subscription: Subscription, delivery: Delivery) -> None:
        """Bring one delivery to its end, whatever it takes, then acknowledge it."""
        causes: list[str] = []
        pause = _FIRST_PAUSE_S
        while not self._stopping:
            try:
                async with self._places:
                    await self._apply(delivery, causes)
                    await subscription.ack(delivery)
            except _HandlerFailedError as failure:
                causes.append(_describe(failure.__cause__))
                _log.warning("%s failed on event %s: %s", self._group, delivery.event_id, causes[-1], exc_info=failure)
                if len(causes) == self._attempts:
                    continue
            except Exception as failure:  # noqa: BLE001 - an outage: the event must not be given up
                _log.warning("%s cannot apply events now: %s", self._group, _describe(failure), exc_info=failure)
            else:
                return
            await self._rest(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _apply(self, delivery: Delivery, causes: Sequence[str]) -> None:
        try:
            event = self._codec.decode(delivery.value)
        except ValueError as error:
            await self._bury_now(delivery, None, [*causes, _describe(error)])
            return
        handler = self._handlers.get(event.type)
        if handler is None:
            return
        if len(causes) >= self._attempts:
            await self._bury_now(delivery, event, causes)
            return
        async with self._postgres.transaction(event.tenant_id or SYSTEM) as connection:
            if not await connection.fetchval(_CLAIM, self._group, event.event_id):
                return
            try:
                await handler(connection, event)
            except Exception as error:
                if connection.is_closed() or is_connection_failure(error):
                    raise
                raise _HandlerFailedError from error

    async def _bury_now(self, delivery: Delivery, event: Event | None, causes: Sequence[str]) -> None:
        """Give the event up: whoever buries it does so in the transaction that marks it as done."""
        id_ = event.event_id if event is not None else delivery.event_id
        tenant = event.tenant_id if event is not None else ""
        letter = DeadLetter(
            self._group, delivery.topic, delivery.key, id_, delivery.value, event, causes[-1], len(causes)
        )
        async with self._postgres.transaction(tenant or SYSTEM) as connection:
            if await connection.fetchval(_CLAIM, self._group, id_):
                await self._bury(connection, letter)

    async def _rest(self, seconds: float) -> None:
        """Pause a failing key; the end of the consumer cuts the pause and leaves the event to the next one."""
        task = asyncio.current_task()
        if self._stopping or task is None:
            return
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
                    async with self._postgres.transaction(SYSTEM) as connection:
                        await connection.execute(_FORGET, self._keep)
                    tidied = self._clock.monotonic()
            except Exception as error:  # noqa: BLE001 - an outage: the next round asks again
                _log.warning("%s cannot tell its lag now: %s", self._group, error)
            await self._clock.sleep(_LAG_EVERY_S)


def _describe(error: BaseException | None) -> str:
    """Kind and first line of an error, for operators."""
    line = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {line}"[:_CAUSE_CHARACTERS]
