"""Events that a group cannot apply: kept, sent again by their workflow, decided about by people."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh import context, durable
from mesh.clock import SystemClock
from mesh.context import Caller, RequestContext
from mesh.errors import Reason, SomaError
from mesh.events.bus import Record
from mesh.events.dead_letters import Undertaker
from mesh.events.event import Event, ProtoCodec
from mesh.events.inbox import Consumer
from mesh.events.memory import MemoryBus
from mesh.events.outbox import Outbox
from mesh.events.relay import Relay
from mesh.ids import SystemIds
from mesh.lifecycle import background
from mesh.settings import BlobSettings
from mesh.stores import blobs
from mesh.stores.postgres import Postgres
from mesh.testing.audit import auditor, entries
from mesh.testing.contract import eventually
from soma.events.v1 import facts_pb2
from soma.events.v1.audit_pb2 import AuditRecorded
from soma.events.v1.dead_letter_pb2 import DeadLettered, DeadLetterResolved
from soma.events.v1.envelope_pb2 import Envelope
from soma.provenance.v1 import dead_letter_service_pb2 as pb
from svc_provenance.adapters import dead_letters as desk
from svc_provenance.adapters.dead_letters import CHANNEL, PostgresLetters
from svc_provenance.adapters.requeues import LetterFollower
from svc_provenance.app.dead_letters import AdvanceLetter, DeadLetters, Filters
from svc_provenance.domain.dead_letters import Cause, Letter, RequeuePace, State
from svc_provenance.events.dead_letters import DeadLetterIntake
from svc_provenance.rpc.dead_letters import DeadLetterServicer
from svc_provenance.workflows.requeue import (
    NEWS_SIGNAL,
    WORKFLOW,
    LetterActivities,
    LetterOrder,
    RequeueWorkflow,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import asyncpg

    from mesh.settings import TemporalSettings
    from tests.conftest import Database

    MakeOffice = Callable[..., AbstractAsyncContextManager["Office"]]

SHORT = timedelta(milliseconds=50)
QUICK = RequeuePace(requeues=3, first=SHORT, longest=SHORT, policy_every=SHORT, policy_expiry=timedelta(hours=1))
SLOW = RequeuePace(3, timedelta(hours=1), timedelta(hours=1), timedelta(hours=1), timedelta(hours=2))
IDS, CLOCK = SystemIds(), SystemClock()
TOPIC = "executor.events"


class Office:
    """A group that applies events, or not, and the desk that its dead letters come to."""

    def __init__(self, postgres: Postgres, temporal: TemporalSettings, blob_dir: Path, pace: RequeuePace) -> None:
        self.postgres = postgres
        self.pace = pace
        self.codec = ProtoCodec(Envelope)
        self.bus = MemoryBus()
        self.letters = PostgresLetters(postgres, Outbox(), self.codec, auditor("provenance", AuditRecorded))
        self.service = DeadLetters(self.letters, CLOCK, IDS)
        self.applied: list[str] = []
        self.fault: Callable[[Event], None] = lambda _: None
        self._queue = IDS.new()
        self._temporal = temporal
        self._blobs = BlobSettings(url=blob_dir.as_uri())

    async def handle(self, connection: asyncpg.Connection, event: Event) -> None:
        """What the group does with an event."""
        self.fault(event)
        self.applied.append(event.payload.decode() if event.payload.isascii() else "?")

    def consumer(self, group: str, topic: str, handlers: dict[str, object], keep: object = None) -> Consumer:
        """A member of a group; an event gets one try."""
        undertaker = Undertaker(
            Outbox(), DeadLettered, DeadLetterResolved, ids=IDS, clock=CLOCK, keep=keep,  # type: ignore[arg-type]
        )  # fmt: skip
        return Consumer(
            self.bus, self.postgres, self.codec, group, [topic], handlers,  # type: ignore[arg-type]
            undertaker=undertaker, clock=CLOCK, attempts=1,
        )  # fmt: skip

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Office]:
        """Everything but the workflows."""
        intake = DeadLetterIntake(desk, self.pace, CLOCK)
        async with (
            Relay(self.postgres, self.bus, self.codec, CLOCK, poll_s=0.1),
            self.consumer("probe", TOPIC, {"noted": self.handle}),
            self.consumer("provenance", "dlq.events", dict(intake.handlers()), intake.keep),
        ):
            yield self

    @asynccontextmanager
    async def workflows(self) -> AsyncIterator[None]:
        """What sends letters again by itself."""
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(blobs.open(self._blobs))
            client = await stack.enter_async_context(durable.client(self._temporal, store))
            activities = LetterActivities(AdvanceLetter(self.letters, CLOCK, IDS))
            await stack.enter_async_context(
                durable.worker(client, self._queue, [RequeueWorkflow], [activities.advance])
            )
            follower = LetterFollower(self.letters, client, WORKFLOW, NEWS_SIGNAL, self._queue, LetterOrder, CLOCK)
            schema = self.postgres.schema
            await stack.enter_async_context(self.postgres.listen(f"{schema}.{CHANNEL}", follower.heard))
            await stack.enter_async_context(background(lambda: follower.work(1.0, lambda _: None), "follower"))
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

    async def all(self, tenant: str = "acme") -> Sequence[Letter]:
        """Its letters, newest first."""
        return await self.letters.page(tenant, Filters(), None, 100)

    async def reached(self, state: State, count: int = 1, tenant: str = "acme") -> Letter:
        """Waits until so many letters are in a state, and gives the newest."""

        async def there() -> bool:
            return sum(letter.state is state for letter in await self.all(tenant)) == count

        await eventually(there, within_s=30)
        return next(letter for letter in await self.all(tenant) if letter.state is state)


@pytest.fixture
def office(database: Database, temporal_settings: TemporalSettings, tmp_path: Path) -> MakeOffice:
    @asynccontextmanager
    async def make(pace: RequeuePace = QUICK) -> AsyncIterator[Office]:
        async with (
            Postgres.open(await database("provenance", pool_max=8)) as postgres,
            Office(postgres, temporal_settings, tmp_path, pace).open() as made,
        ):
            yield made

    return make


def broken(times: int, error: Exception) -> Callable[[Event], None]:
    """A fault that passes after some times."""
    left = [times]

    def fault(_: Event) -> None:
        if left[0]:
            left[0] -= 1
            raise error

    return fault


async def test_what_failed_is_sent_again_by_itself_and_applied_once(office: MakeOffice) -> None:
    async with office() as made, made.workflows():
        made.fault = broken(3, RuntimeError("secret text"))
        event = await made.send("hello")
        letter = await made.reached(State.RESOLVED)
        assert made.applied == ["hello"]
        assert (letter.requeues, letter.attempts, letter.event_id) == (3, 3, event.event_id)
        assert (letter.correlation_id, letter.trace_id) == ("job-1", "a" * 32)
        assert "secret" not in letter.detail
        assert len(await made.all()) == 1


async def test_after_the_last_time_it_waits_for_somebody(office: MakeOffice) -> None:
    async with office() as made, made.workflows():
        made.fault = broken(4, RuntimeError())
        await made.send("hello")
        letter = await made.reached(State.EXHAUSTED)
        assert letter.requeues == 3
        await made.service.requeue(["acme"], letter.dlq_id)
        await made.reached(State.RESOLVED)
        assert made.applied == ["hello"]


async def test_what_policy_refuses_waits_until_it_is_allowed(office: MakeOffice) -> None:
    async with office() as made, made.workflows():
        made.fault = broken(6, SomaError(Reason.POLICY_DENIED, "not now"))
        await made.send("hello")
        letter = await made.reached(State.RESOLVED)
        assert letter.requeues == 6, "it may be sent more often than what failed"


async def test_what_policy_refuses_expires(office: MakeOffice) -> None:
    pace = RequeuePace(3, SHORT, SHORT, SHORT, timedelta(milliseconds=300))
    async with office(pace) as made, made.workflows():
        made.fault = broken(1_000, SomaError(Reason.POLICY_DENIED, "never"))
        await made.send("hello")
        letter = await made.reached(State.EXPIRED)
        assert (letter.cause, made.applied) == (Cause.POLICY, [])


async def test_a_pause_goes_on_after_the_workers_died(office: MakeOffice) -> None:
    pace = RequeuePace(3, timedelta(seconds=2), timedelta(seconds=2), SHORT, SHORT)
    async with office(pace) as made:
        made.fault = broken(1, RuntimeError())
        async with made.workflows():
            await made.send("hello")
            await made.reached(State.WAITING)
        async with made.workflows():
            await made.reached(State.RESOLVED)
        assert made.applied == ["hello"]


async def test_letters_wait_while_there_are_no_workflows(office: MakeOffice) -> None:
    async with office() as made:
        made.fault = broken(2, RuntimeError())
        await made.send("a")
        await made.send("b")
        await made.reached(State.WAITING, 2)
        async with made.workflows():
            await made.reached(State.RESOLVED, 2)


async def test_what_cannot_be_read_is_kept_and_can_only_be_discarded(office: MakeOffice) -> None:
    async with office(SLOW) as made:
        await made.bus.publish([Record(TOPIC, "k", "junk-1", b"\xff\xff\xff")])
        letter = await made.reached(State.EXHAUSTED, tenant="")
        assert letter.cause is Cause.MALFORMED
        with pytest.raises(SomaError) as refused:
            await made.service.requeue([""], letter.dlq_id)
        assert refused.value.reason is Reason.FAILED_PRECONDITION
        gone = await made.service.discard([""], letter.dlq_id, "junk")
        assert (gone.state, gone.reason) == (State.DISCARDED, "junk")


async def test_many_are_sent_again_oldest_first_and_counted(office: MakeOffice) -> None:
    async with office(SLOW) as made:
        made.fault = broken(4, RuntimeError())
        for text in "abcd":
            await made.send(text)
        await made.reached(State.WAITING, 4)
        *_, third, second, oldest = await made.all()
        done = await made.service.requeue_many(["acme"], [], Filters(topic=TOPIC), 3)
        assert (done.requeued, done.left, done.remaining) == (3, 0, 1)
        await made.reached(State.RESOLVED, 3)
        again = await made.service.requeue_many(["acme"], [oldest.dlq_id, IDS.new()], Filters(), 100)
        assert (again.requeued, again.left) == (0, 2)
        assert sorted(made.applied) == sorted(letter.key for letter in (third, second, oldest))


async def test_only_the_group_that_gave_it_up_gets_it_again(office: MakeOffice) -> None:
    async with office(SLOW) as made:
        others: list[str] = []

        async def other(connection: asyncpg.Connection, event: Event) -> None:
            others.append(event.event_id)

        async with made.consumer("other", TOPIC, {"noted": other}):
            made.fault = broken(1, RuntimeError())
            await made.send("a")
            letter = await made.reached(State.WAITING)
            await made.service.requeue(["acme"], letter.dlq_id)
            await made.reached(State.RESOLVED)
            await made.send("b")
            await eventually(lambda: len(others) == 2)
        assert len(set(others)) == 2
        assert made.applied == ["a", "b"]


async def test_decisions_of_people_are_audited_and_those_of_the_clock_are_not(office: MakeOffice) -> None:
    async with office() as made, made.workflows():
        made.fault = broken(1_000, RuntimeError())
        await made.send("hello")
        letter = await made.reached(State.EXHAUSTED)
        assert await entries(made.postgres, AuditRecorded.FromString) == []
        await made.service.discard(["acme"], letter.dlq_id, "enough")
        [(_, entry)] = await entries(made.postgres, AuditRecorded.FromString)
        assert (entry.action, entry.resource_id, entry.reason) == ("dead_letter.write", letter.dlq_id, "enough")
        assert entry.before_digest != entry.after_digest


@asynccontextmanager
async def calling(tenant: str, *roles: str) -> AsyncIterator[None]:
    who = Caller(tenant, "alice", roles, (), "k", "token")
    with context.use(RequestContext(who, "r", "t", None)):
        yield


async def test_the_service_pages_filters_and_shows_redacted_events(office: MakeOffice) -> None:
    async with office(SLOW) as made:
        made.fault = broken(1_000, RuntimeError())
        for text in "abc":
            await made.send(text)
        changed = facts_pb2.CapabilityChanged(subject="card 4111 1111 1111 1111")
        name = changed.DESCRIPTOR.full_name
        async with made.consumer("probe2", TOPIC, {name: made.handle}):
            event = Event(IDS.new(), name, TOPIC, "d", "acme", CLOCK.now(), changed.SerializeToString())
            async with made.postgres.transaction("acme") as connection:
                await Outbox().add(connection, event)
            await made.reached(State.WAITING, 4)
        servicer = DeadLetterServicer(made.service, made.codec)
        async with calling("acme", "admin"):
            first = await servicer.ListDeadLetters(pb.ListDeadLettersRequest(page_size=3), None)  # type: ignore[arg-type]
            rest = await servicer.ListDeadLetters(
                pb.ListDeadLettersRequest(page_size=3, page_token=first.next_page_token), None,  # type: ignore[arg-type]
            )  # fmt: skip
            found = await servicer.ListDeadLetters(pb.ListDeadLettersRequest(event_type=name), None)  # type: ignore[arg-type]
            shown = await servicer.GetDeadLetter(
                pb.GetDeadLetterRequest(dlq_id=found.dead_letters[0].dlq_id), None,  # type: ignore[arg-type]
            )  # fmt: skip
        assert (len(first.dead_letters), len(rest.dead_letters), rest.next_page_token) == (3, 1, "")
        assert dict(shown.payload) == {"subject": "card [card]"}
        async with calling("umbrella", "admin"):
            with pytest.raises(SomaError) as hidden:
                await servicer.GetDeadLetter(pb.GetDeadLetterRequest(dlq_id=shown.dlq_id), None)  # type: ignore[arg-type]
            assert hidden.value.reason is Reason.NOT_FOUND
            with pytest.raises(SomaError) as denied:
                await servicer.ListDeadLetters(pb.ListDeadLettersRequest(platform=True), None)  # type: ignore[arg-type]
            assert denied.value.reason is Reason.PERMISSION_DENIED
