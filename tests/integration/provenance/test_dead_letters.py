"""Events that a group cannot apply: kept, sent again by their workflow, decided about by people."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh import context
from mesh.context import Caller, RequestContext
from mesh.errors import Reason, SomaError
from mesh.events.bus import Record
from mesh.events.event import Event
from mesh.events.outbox import Outbox
from mesh.stores.postgres import Postgres
from mesh.testing.audit import entries
from mesh.testing.contract import eventually
from soma.events.v1 import facts_pb2
from soma.provenance.v1 import dead_letter_service_pb2 as pb
from svc_provenance.app.dead_letters import DeadLetterFilters
from svc_provenance.domain.dead_letters import Cause, RequeuePolicy, State
from svc_provenance.rpc.dead_letter_service import DeadLetterServicer
from tests.integration.provenance.harness import CLOCK, IDS, QUICK, SHORT, SLOW, TOPIC, DeadLetterHarness, broken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    import asyncpg

    from mesh.settings import TemporalSettings
    from tests.conftest import Database

    MakeHarness = Callable[..., AbstractAsyncContextManager["DeadLetterHarness"]]


@pytest.fixture
def harness(database: Database, temporal_settings: TemporalSettings) -> MakeHarness:
    @asynccontextmanager
    async def make(policy: RequeuePolicy = QUICK) -> AsyncIterator[DeadLetterHarness]:
        async with (
            Postgres.open(await database("provenance", pool_max=8)) as postgres,
            DeadLetterHarness(postgres, temporal_settings, policy).open() as made,
        ):
            yield made

    return make


async def test_what_failed_is_sent_again_by_itself_and_applied_once(harness: MakeHarness) -> None:
    async with harness() as made, made.workflows():
        made.fault = broken(3, RuntimeError("secret text"))
        event = await made.send("hello")
        dead_letter = await made.reached(State.RESOLVED)
        assert made.applied == ["hello"]
        assert (dead_letter.requeues, dead_letter.attempts, dead_letter.event_id) == (3, 3, event.event_id)
        assert (dead_letter.correlation_id, dead_letter.trace_id) == ("job-1", "a" * 32)
        assert "secret" not in dead_letter.detail
        assert len(await made.all()) == 1


async def test_after_the_last_time_it_waits_for_somebody(harness: MakeHarness) -> None:
    async with harness() as made, made.workflows():
        made.fault = broken(4, RuntimeError())
        await made.send("hello")
        dead_letter = await made.reached(State.EXHAUSTED)
        assert dead_letter.requeues == 3
        await made.service.requeue(["acme"], dead_letter.dlq_id)
        await made.reached(State.RESOLVED)
        assert made.applied == ["hello"]


async def test_what_policy_refuses_waits_until_it_is_allowed(harness: MakeHarness) -> None:
    async with harness() as made, made.workflows():
        made.fault = broken(6, SomaError(Reason.POLICY_DENIED, "not now"))
        await made.send("hello")
        dead_letter = await made.reached(State.RESOLVED)
        assert dead_letter.requeues == 6, "it may be sent more often than what failed"


async def test_what_policy_refuses_expires(harness: MakeHarness) -> None:
    policy = RequeuePolicy(3, SHORT, SHORT, SHORT, timedelta(milliseconds=300))
    async with harness(policy) as made, made.workflows():
        made.fault = broken(1_000, SomaError(Reason.POLICY_DENIED, "never"))
        await made.send("hello")
        dead_letter = await made.reached(State.EXPIRED)
        assert (dead_letter.cause, made.applied) == (Cause.POLICY, [])


async def test_a_pause_goes_on_after_the_workers_died(harness: MakeHarness) -> None:
    policy = RequeuePolicy(3, timedelta(seconds=2), timedelta(seconds=2), SHORT, SHORT)
    async with harness(policy) as made:
        made.fault = broken(1, RuntimeError())
        async with made.workflows():
            await made.send("hello")
            await made.reached(State.WAITING)
        async with made.workflows():
            await made.reached(State.RESOLVED)
        assert made.applied == ["hello"]


async def test_dead_letters_wait_while_there_are_no_workflows(harness: MakeHarness) -> None:
    async with harness() as made:
        made.fault = broken(2, RuntimeError())
        await made.send("a")
        await made.send("b")
        await made.reached(State.WAITING, 2)
        async with made.workflows():
            await made.reached(State.RESOLVED, 2)


async def test_what_cannot_be_read_is_kept_and_can_only_be_discarded(harness: MakeHarness) -> None:
    async with harness(SLOW) as made:
        await made.bus.publish([Record(TOPIC, "k", "junk-1", b"\xff\xff\xff")])
        dead_letter = await made.reached(State.EXHAUSTED, tenant="")
        assert dead_letter.cause is Cause.MALFORMED
        with pytest.raises(SomaError) as refused:
            await made.service.requeue([""], dead_letter.dlq_id)
        assert refused.value.reason is Reason.FAILED_PRECONDITION
        gone = await made.service.discard([""], dead_letter.dlq_id, "junk")
        assert (gone.state, gone.reason) == (State.DISCARDED, "junk")


async def test_many_are_sent_again_oldest_first_and_counted(harness: MakeHarness) -> None:
    async with harness(SLOW) as made:
        made.fault = broken(4, RuntimeError())
        for text in "abcd":
            await made.send(text)
        await made.reached(State.WAITING, 4)
        *_, third, second, oldest = await made.all()
        done = await made.service.requeue_many(["acme"], [], DeadLetterFilters(topic=TOPIC), 3)
        assert (done.requeued, done.left, done.remaining) == (3, 0, 1)
        await made.reached(State.RESOLVED, 3)
        again = await made.service.requeue_many(["acme"], [oldest.dlq_id, IDS.new()], DeadLetterFilters(), 100)
        assert (again.requeued, again.left) == (0, 2)
        assert sorted(made.applied) == sorted(dead_letter.key for dead_letter in (third, second, oldest))


async def test_only_the_group_that_gave_it_up_gets_it_again(harness: MakeHarness) -> None:
    async with harness(SLOW) as made:
        others: list[str] = []

        async def other(connection: asyncpg.Connection, event: Event) -> None:
            others.append(event.event_id)

        async with made.consumer("other", TOPIC, {"noted": other}):
            made.fault = broken(1, RuntimeError())
            await made.send("a")
            dead_letter = await made.reached(State.WAITING)
            await made.service.requeue(["acme"], dead_letter.dlq_id)
            await made.reached(State.RESOLVED)
            await made.send("b")
            await eventually(lambda: len(others) == len(made.applied) == 2)
        assert len(set(others)) == 2
        assert made.applied == ["a", "b"]


async def test_decisions_of_people_are_audited_and_those_of_the_clock_are_not(harness: MakeHarness) -> None:
    async with harness() as made, made.workflows():
        made.fault = broken(1_000, RuntimeError())
        await made.send("hello")
        dead_letter = await made.reached(State.EXHAUSTED)
        assert await entries(made.postgres) == []
        await made.service.discard(["acme"], dead_letter.dlq_id, "enough")
        [(_, entry)] = await entries(made.postgres)
        assert (entry.action, entry.resource_id, entry.reason) == ("dead_letter.write", dead_letter.dlq_id, "enough")
        assert entry.before_digest != entry.after_digest


@asynccontextmanager
async def calling(tenant: str, *roles: str) -> AsyncIterator[None]:
    who = Caller(tenant, "alice", roles, (), "k", "token")
    with context.use(RequestContext(who, "r", "t", None)):
        yield


async def test_the_service_pages_filters_and_shows_redacted_events(harness: MakeHarness) -> None:
    async with harness(SLOW) as made:
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
