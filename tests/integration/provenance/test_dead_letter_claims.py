"""Who tells the workflow of a dead letter: one of several members, and of what changed alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from temporalio.service import RPCError, RPCStatusCode

from mesh import durable
from mesh.lifecycle import background
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.contract import eventually
from svc_provenance.adapters.postgres import dead_letter_claims
from svc_provenance.adapters.postgres.dead_letter_claims import DeadLetterClaims
from svc_provenance.adapters.requeue_signaller import RequeueSignaller
from svc_provenance.app.dead_letters import RequeueStep
from svc_provenance.domain.dead_letters import FORMER_QUEUE, QUEUE, WORKFLOW, DeadLetterRef
from svc_provenance.workflows.requeue import RequeueActivities, workers
from tests.integration.provenance.harness import CLOCK, IDS, SLOW, DeadLetterHarness
from tests.integration.provenance.reads import Counting
from tests.integration.provenance.test_dead_letter_edges import add, kept

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.settings import TemporalSettings
    from tests.conftest import Database

OLD = CLOCK.now() - timedelta(hours=2)


@pytest.fixture
async def quiet(database: Database, temporal_settings: TemporalSettings) -> AsyncIterator[DeadLetterHarness]:
    """Dead letters whose events nobody carries."""
    async with Postgres.open(await database("provenance", pool_max=8)) as postgres:
        yield DeadLetterHarness(postgres, temporal_settings, SLOW)


class NoWorker:
    """A Temporal whose workflows nobody works at."""

    def __init__(self, *, failures: int = 0) -> None:
        self.told: list[str] = []
        self.queues: set[str] = set()
        self._failures = failures

    async def start_workflow(self, *_: object, id: str, task_queue: str, **__: object) -> None:  # noqa: A002
        if self._failures:
            self._failures -= 1
            raise RPCError("away", RPCStatusCode.UNAVAILABLE, b"")
        self.told.append(id.removeprefix("dead-letter-"))
        self.queues.add(task_queue)
        await asyncio.sleep(0)


async def all_told(harness: DeadLetterHarness) -> None:
    async with harness.postgres.transaction(SYSTEM) as connection:
        await connection.execute("UPDATE dlq_messages SET followed = news")


async def unsignalled(harness: DeadLetterHarness) -> int:
    async with harness.postgres.transaction(SYSTEM) as connection:
        return int(await connection.fetchval("SELECT count(*) FROM dlq_messages WHERE followed < news"))


async def test_of_three_members_one_tells_of_each_dead_letter(quiet: DeadLetterHarness) -> None:
    dead_letters = [kept(quiet, f"k{number}") for number in range(250)]
    await add(quiet, *dead_letters)
    client = NoWorker()
    async with AsyncExitStack() as stack:
        for member in range(3):
            signaller = RequeueSignaller(DeadLetterClaims(quiet.postgres), client, CLOCK)  # type: ignore[arg-type]
            run = background(lambda one=signaller: one.run(600.0, lambda _: None), f"member {member}")  # type: ignore[misc]
            await stack.enter_async_context(run)

        async def done() -> bool:
            return await unsignalled(quiet) == 0

        await eventually(done, within_s=30)
    assert Counter(client.told) == Counter(dead_letter.dlq_id for dead_letter in dead_letters)
    assert client.queues == {QUEUE} == {"maintenance"}


async def test_a_dead_letter_that_changes_while_it_is_told_of_is_told_of_again(quiet: DeadLetterHarness) -> None:
    dead_letter = kept(quiet, "a")
    await add(quiet, dead_letter)
    claims = DeadLetterClaims(quiet.postgres)
    [first] = await claims.changed(10)
    assert list(await claims.changed(10)) == []
    await quiet.service.discard(["acme"], dead_letter.dlq_id, "enough")
    [second] = await claims.changed(10)
    await claims.mark_signalled(first)
    assert second.changes == first.changes + 1
    assert await unsignalled(quiet) == 1
    await claims.mark_signalled(second)
    assert list(await claims.changed(10)) == []


async def test_what_a_member_died_with_is_handed_out_again(quiet: DeadLetterHarness) -> None:
    await add(quiet, kept(quiet, "a"))
    dying = DeadLetterClaims(quiet.postgres, lease=timedelta(0))
    [lost] = await dying.changed(10)
    assert list(await DeadLetterClaims(quiet.postgres).changed(10)) == [lost]


async def test_what_a_member_did_not_get_to_before_its_end_is_free_at_once(quiet: DeadLetterHarness) -> None:
    await add(quiet, *(kept(quiet, f"k{number}") for number in range(5)))
    reached = asyncio.Event()

    class Slow(NoWorker):
        async def start_workflow(self, *_: object, **__: object) -> None:
            reached.set()
            await asyncio.Event().wait()

    signaller = RequeueSignaller(DeadLetterClaims(quiet.postgres), Slow(), CLOCK)  # type: ignore[arg-type]
    async with background(lambda: signaller.run(600.0, lambda _: None), "signaller"):
        await asyncio.wait_for(reached.wait(), 20)
    assert len(await DeadLetterClaims(quiet.postgres).changed(10)) == 5


async def test_what_temporal_did_not_take_is_told_of_later(quiet: DeadLetterHarness) -> None:
    dead_letters = [kept(quiet, f"k{number}") for number in range(3)]
    await add(quiet, *dead_letters)
    client = NoWorker(failures=2)
    claims = DeadLetterClaims(quiet.postgres, lease=timedelta(milliseconds=50))
    signaller = RequeueSignaller(claims, client, CLOCK)  # type: ignore[arg-type]
    async with background(lambda: signaller.run(0.1, lambda _: None), "signaller"):
        await eventually(lambda: set(client.told) == {dead_letter.dlq_id for dead_letter in dead_letters}, within_s=30)


async def test_dead_letters_that_are_long_overdue_take_turns(quiet: DeadLetterHarness) -> None:
    dead_letters = [replace(kept(quiet, f"k{number}"), requeue_at=OLD, updated_at=OLD) for number in range(6)]
    await add(quiet, *dead_letters)
    await all_told(quiet)
    claims = DeadLetterClaims(quiet.postgres)
    turns = [await claims.overdue(2) for _ in range(4)]
    assert [len(turn) for turn in turns] == [2, 2, 2, 0]
    assert {dead_letter.dlq_id for turn in turns for dead_letter in turn} == {
        dead_letter.dlq_id for dead_letter in dead_letters
    }


async def test_claims_of_overdue_dead_letters_read_no_dead_letter_that_was_claimed_before(
    quiet: DeadLetterHarness,
) -> None:
    """As after an outage: many are overdue, and stay so until their workflows moved them."""
    dead_letters = [replace(kept(quiet, f"k{number}"), requeue_at=OLD, updated_at=OLD) for number in range(400)]
    await add(quiet, *dead_letters)
    await all_told(quiet)
    counting = Counting(quiet.postgres)
    claims = DeadLetterClaims(counting)  # type: ignore[arg-type]
    assert [len(await claims.overdue(20)) for _ in range(20)] == [20] * 20
    assert max(counting.reads) <= 4 * 20


async def test_a_dead_letter_that_waits_in_time_is_left_alone(quiet: DeadLetterHarness) -> None:
    await add(quiet, kept(quiet, "a"))
    await all_told(quiet)
    claims = DeadLetterClaims(quiet.postgres)
    assert (list(await claims.changed(10)), list(await claims.overdue(10))) == ([], [])


async def test_dead_letters_of_a_state_are_counted_up_to_a_bound(
    quiet: DeadLetterHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(quiet, *(kept(quiet, f"k{number}") for number in range(5)))
    claims = DeadLetterClaims(quiet.postgres)
    assert (await claims.counts())["waiting"] == 5
    monkeypatch.setattr(dead_letter_claims, "MAX_COUNT", 3)
    counts = await claims.counts()
    assert (counts["waiting"], counts["expired"]) == (3, 0)


@pytest.mark.parametrize("queue", [QUEUE, FORMER_QUEUE])
async def test_workflows_of_either_queue_come_to_their_end(temporal_settings: TemporalSettings, queue: str) -> None:
    async def at_rest(_tenant_id: str, _dlq_id: str) -> RequeueStep:
        return RequeueStep("discarded", at_rest=True)

    async with (
        durable.client(temporal_settings) as client,
        workers(client, RequeueActivities(at_rest), CLOCK),  # type: ignore[arg-type]
    ):
        ended = await client.execute_workflow(
            WORKFLOW, DeadLetterRef("acme", "letter"), id=f"dead-letter-{IDS.new()}", task_queue=queue
        )
    assert ended == "discarded"
