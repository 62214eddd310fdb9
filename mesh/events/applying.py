"""Applies events in a transaction: the effects and the events' ids together, or nothing."""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
from google.protobuf.message import DecodeError

from mesh import tracing
from mesh.errors import Reason, SomaError
from mesh.events.dead_letters import Cause, DeadLetter
from mesh.events.event import LONGEST_ID, Event
from mesh.stores.postgres import SYSTEM, is_connection_failure

if TYPE_CHECKING:
    from mesh.events.backlog import Key
    from mesh.events.bus import Delivery
    from mesh.events.dead_letters import DeadLetterSink
    from mesh.events.event import Codec
    from mesh.stores.postgres import Postgres

_CLAIM = """
INSERT INTO inbox (consumer_group, event_id) SELECT $1, unnest($2::text[])
ON CONFLICT DO NOTHING RETURNING event_id
"""
# Caused by concurrent transactions, not by the event: the attempt is not counted.
_RETRYABLE_ERRORS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)
_DRIVERS = frozenset({"asyncpg", "asyncio"})
_SET_TENANT = "SELECT set_config('soma.tenant_id', $1, true)"

Handler = Callable[["asyncpg.Connection", Event], Awaitable[None]]


@dataclass(frozen=True)
class BatchHandler:
    """A handler of many events of one tenant at once, in their order: for effects that go into one statement."""

    apply: Callable[[asyncpg.Connection, Sequence[Event]], Awaitable[None]]


Handlers: TypeAlias = Mapping[str, Handler | BatchHandler]


@dataclass(frozen=True, eq=False)
class WorkItem:
    """A delivery and the event in it; a group without a `handler` has nothing to do for it."""

    delivery: Delivery
    event: Event
    handler: Handler | BatchHandler | None

    @property
    def key(self) -> Key:
        """What its order is kept in."""
        return self.delivery.topic, self.delivery.key

    @property
    def kind(self) -> tuple[str, str]:
        """The tenant it is applied as, and its type."""
        return self.event.tenant_id or SYSTEM, self.event.type


class ApplyError(Exception):
    """Events could not be applied; `work` is the culprit where it is known. `detail` holds nothing of the content."""

    def __init__(self, cause: Cause, detail: str, work: WorkItem | None = None) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail
        self.work = work

    @property
    def is_permanent(self) -> bool:
        """Whether the same would come of trying again."""
        return self.cause in {Cause.MALFORMED, Cause.POLICY}


class Applier:
    """Applies events for one group. While the database is away, errors other than ApplyError are raised."""

    def __init__(
        self,
        postgres: Postgres,
        codec: Codec,
        group: str,
        handlers: Handlers,
        *,
        dead_letter_sink: DeadLetterSink,
        timeout_s: float,
    ) -> None:
        self._postgres = postgres
        self._codec = codec
        self._group = group
        self._handlers = dict(handlers)
        self._dead_letter_sink = dead_letter_sink
        self._timeout_s = timeout_s

    def read(self, delivery: Delivery) -> WorkItem | None:
        """The work that a delivery is, None when it is not for this group; ApplyError when it holds no event."""
        try:
            event = self._codec.decode(delivery.value)
        except ValueError as error:
            raise ApplyError(Cause.MALFORMED, str(error)) from error
        handler = self._handlers.get(event.type)
        if event.group not in {"", self._group} or (handler is None and not event.dlq_id):
            return None
        return WorkItem(delivery, event, handler)

    async def apply(self, items: Sequence[WorkItem]) -> None:
        """Apply those that were not applied before, all or none; ApplyError when a handler fails."""
        try:
            await self._apply(items)
        except ApplyError as failure:
            if len(items) == 1:
                failure.work = items[0]
            raise
        except SomaError as error:
            if error.reason is Reason.CONFLICT and len(items) > 1:  # several at once may stand in each other's way
                raise ApplyError(Cause.FAILED, _describe(error)) from error
            raise

    async def dead_letter(self, delivery: Delivery, event: Event | None, failure: ApplyError, attempts: int) -> None:
        """Give an event up, in the transaction that marks it as done."""
        id_ = event.event_id if event else _storable(delivery.event_id)[:LONGEST_ID]
        dead_letter = DeadLetter(
            group=self._group,
            topic=delivery.topic,
            key=_storable(delivery.key),
            event_id=id_,
            value=delivery.value,
            event=event,
            cause=failure.cause,
            detail=failure.detail,
            attempts=attempts,
        )
        tenant = event.tenant_id if event else ""
        async with self._postgres.transaction(tenant or SYSTEM) as connection:
            if await connection.fetch(_CLAIM, self._group, [id_]):
                await self._dead_letter_sink.dead_letter(connection, dead_letter)

    async def _apply(self, items: Sequence[WorkItem]) -> None:
        runs = list(_group_by_kind(items))
        tenant = runs[0][0].kind[0]
        ids = sorted(work.event.event_id for work in items)  # in one order everywhere, lest two consumers lock up
        async with self._postgres.transaction(tenant) as connection:
            new = {row["event_id"] for row in await connection.fetch(_CLAIM, self._group, ids)}
            for run in runs:
                fresh = []
                for work in run:
                    if work.event.event_id in new:
                        new.remove(work.event.event_id)
                        fresh.append(work)
                if fresh and fresh[0].kind[0] != tenant:
                    tenant = fresh[0].kind[0]
                    await connection.execute(_SET_TENANT, tenant)
                await self._run(connection, fresh)

    async def _run(self, connection: asyncpg.Connection, items: Sequence[WorkItem]) -> None:
        """Apply events of one tenant and type."""
        if items and isinstance(items[0].handler, BatchHandler):
            events = [work.event for work in items]
            await self._run_handler(connection, None, items[0].handler.apply(connection, events))
        for work in items:
            if work.handler is not None and not isinstance(work.handler, BatchHandler):
                await self._run_handler(connection, work, self._traced(connection, work.handler, work.event))
            if work.event.dlq_id:
                await self._dead_letter_sink.resolve(connection, self._group, work.event)

    async def _run_handler(
        self, connection: asyncpg.Connection, work: WorkItem | None, applying: Awaitable[None]
    ) -> None:
        """Wait for a handler, for a bounded time; tells its failure from an outage of the database."""
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                await applying
        except TimeoutError as error:
            if not limit.expired():
                raise ApplyError(Cause.FAILED, _describe(error), work) from error
            raise ApplyError(Cause.TIMEOUT, f"not done within {self._timeout_s:g} s", work) from error
        except Exception as error:
            if connection.is_closed() or is_connection_failure(error) or isinstance(error, _RETRYABLE_ERRORS):
                raise
            raise ApplyError(_cause(error), _describe(error), work) from error

    async def _traced(self, connection: asyncpg.Connection, handler: Handler, event: Event) -> None:
        if not event.traceparent:
            await handler(connection, event)
            return
        with tracing.consumer_span(event.traceparent, f"process {event.topic}", _span_attributes(self._group, event)):
            await handler(connection, event)


def _group_by_kind(items: Sequence[WorkItem]) -> Iterator[list[WorkItem]]:
    """Works of one kind after the other, the fewest such runs in which every key keeps its order."""
    queues: dict[Key, deque[WorkItem]] = {}
    for work in items:
        queues.setdefault(work.key, deque()).append(work)
    while queues:
        kind = min(queue[0].kind for queue in queues.values())
        run: list[WorkItem] = []
        for key, queue in list(queues.items()):
            while queue and queue[0].kind == kind:
                run.append(queue.popleft())
            if not queue:
                del queues[key]
        yield run


def _cause(error: BaseException) -> Cause:
    if isinstance(error, DecodeError):
        return Cause.MALFORMED
    if isinstance(error, SomaError) and error.reason is Reason.POLICY_DENIED:
        return Cause.POLICY
    return Cause.FAILED


def _describe(error: BaseException) -> str:
    """Kind and place of an error. Its text may hold what must not get into a dead letter, so it stays in the log."""
    kind = type(error).__name__
    if isinstance(error, SomaError):
        kind = f"{kind} {error.reason}"
    elif isinstance(error, asyncpg.PostgresError):
        kind = f"{kind} {error.sqlstate} {error.constraint_name or ''}".rstrip()
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in _DRIVERS:
            place = f" in {module}:{line}"
    return kind + place


def _span_attributes(group: str, event: Event) -> tracing.Attributes:
    """What a span says of an event that is applied, by the conventions for messaging."""
    return {
        "messaging.operation.type": "process",
        "messaging.destination.name": event.topic,
        "messaging.consumer.group.name": group,
        "messaging.message.id": event.event_id,
        "soma.event_type": event.type,
    }


def _storable(text: str) -> str:
    return text.replace("\0", "\ufffd")
