"""A group that gives events up, and where its dead letters go."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh import durable
from mesh.clock import SystemClock
from mesh.events.dead_letters import DeadLetterPublisher
from mesh.events.event import Codec, Event
from mesh.events.inbox import Consumer
from mesh.events.memory import MemoryBus
from mesh.events.outbox import Outbox
from mesh.events.relay import Relay
from mesh.ids import SystemIds
from mesh.lifecycle import background
from mesh.testing.audit import auditor
from mesh.testing.contract import eventually
from svc_provenance.adapters.postgres import dead_letters as dead_letter_rows
from svc_provenance.adapters.postgres.dead_letter_claims import DeadLetterClaims
from svc_provenance.adapters.postgres.dead_letters import CHANNEL, PostgresDeadLetterStore
from svc_provenance.adapters.requeue_signaller import RequeueSignaller
from svc_provenance.app.dead_letters import DeadLetterFilters, DeadLetters, ProcessDueDeadLetter
from svc_provenance.domain.dead_letters import DeadLetterRecord, RequeuePolicy, State
from svc_provenance.events.consumed.dead_letters import DeadLetterEventHandlers
from svc_provenance.workflows.requeue import RequeueActivities, RequeueWorkflow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    import asyncpg

    from mesh.settings import TemporalSettings
    from mesh.stores.postgres import Postgres

    MakeHarness = Callable[..., AbstractAsyncContextManager["DeadLetterHarness"]]

SHORT = timedelta(milliseconds=50)
QUICK = RequeuePolicy(
    requeues=3, initial_interval=SHORT, max_interval=SHORT, policy_every=SHORT, policy_expiry=timedelta(hours=1)
)
SLOW = RequeuePolicy(3, timedelta(hours=1), timedelta(hours=1), timedelta(hours=1), timedelta(hours=2))
IDS, CLOCK = SystemIds(), SystemClock()
TOPIC = "executor.events"


class DeadLetterHarness:
    """A group that applies events, or not, and where its dead letters go."""

    def __init__(self, postgres: Postgres, temporal: TemporalSettings, policy: RequeuePolicy) -> None:
        self.postgres = postgres
        self.policy = policy
        self.codec = Codec()
        self.bus = MemoryBus()
        self.dead_letters = PostgresDeadLetterStore(postgres, Outbox(), self.codec, auditor("provenance"))
        self.service = DeadLetters(self.dead_letters, CLOCK, IDS)
        self.applied: list[str] = []
        self.fault: Callable[[Event], None] = lambda _: None
        self._queue = IDS.new()
        self._temporal = temporal

    async def handle(self, connection: asyncpg.Connection, event: Event) -> None:
        """What the group does with an event."""
        self.fault(event)
        self.applied.append(event.payload.decode() if event.payload.isascii() else "?")

    def consumer(self, group: str, topic: str, handlers: dict[str, object], keep: object = None) -> Consumer:
        """A member of a group; an event gets one try."""
        dead_letter_sink = DeadLetterPublisher(Outbox(), ids=IDS, clock=CLOCK, store_dead_letter=keep)  # type: ignore[arg-type]
        return Consumer(
            self.bus, self.postgres, self.codec, group, [topic], handlers,  # type: ignore[arg-type]
            dead_letter_sink=dead_letter_sink, clock=CLOCK, attempts=1,
        )  # fmt: skip

    @asynccontextmanager
    async def open(self) -> AsyncIterator[DeadLetterHarness]:
        """Everything but the workflows."""
        handlers = DeadLetterEventHandlers(dead_letter_rows, self.policy, CLOCK)
        async with (
            Relay(self.postgres, self.bus, self.codec, CLOCK, poll_s=0.1),
            self.consumer("probe", TOPIC, {"noted": self.handle}),
            self.consumer("provenance", "dlq.events", dict(handlers.handlers()), handlers.add_own),
        ):
            yield self

    @asynccontextmanager
    async def workflows(self) -> AsyncIterator[None]:
        """What sends dead letters again by itself."""
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(durable.client(self._temporal))
            activities = RequeueActivities(ProcessDueDeadLetter(self.dead_letters, CLOCK, IDS))
            await stack.enter_async_context(
                durable.worker(client, self._queue, [RequeueWorkflow], [activities.advance])
            )
            signaller = RequeueSignaller(DeadLetterClaims(self.postgres), client, CLOCK, self._queue)
            schema = self.postgres.schema
            await stack.enter_async_context(self.postgres.listen(f"{schema}.{CHANNEL}", signaller.on_notification))
            await stack.enter_async_context(background(lambda: signaller.run(1.0, lambda _: None), "signaller"))
            yield

    async def send(self, text: str, tenant: str = "acme", kind: str = "noted") -> Event:
        """An event for the group, through the outbox."""
        event = Event(
            IDS.new(), kind, TOPIC, text, tenant, CLOCK.now(), text.encode(), correlation_id="job-1",
            traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
        )  # fmt: skip
        async with self.postgres.transaction(tenant) as connection:
            await Outbox().add(connection, event)
        return event

    async def all(self, tenant: str = "acme") -> Sequence[DeadLetterRecord]:
        """Its dead letters, newest first."""
        dead_letters, _ = await self.dead_letters.page(tenant, DeadLetterFilters(), None, 100)
        return dead_letters

    async def reached(self, state: State, count: int = 1, tenant: str = "acme") -> DeadLetterRecord:
        """Waits until so many dead letters are in a state, and gives the newest.

        Up to 90 s: an activity that was lost with its worker times out only after 30 s, and is then retried.
        """

        async def there() -> bool:
            return sum(dead_letter.state is state for dead_letter in await self.all(tenant)) == count

        await eventually(there, within_s=90)
        return next(dead_letter for dead_letter in await self.all(tenant) if dead_letter.state is state)


def broken(times: int, error: Exception) -> Callable[[Event], None]:
    """A fault that passes after some times."""
    left = [times]

    def fault(_: Event) -> None:
        if left[0]:
            left[0] -= 1
            raise error

    return fault
