"""An erased text is nowhere in the executor: not in steps, not in attempts, not in what later steps were asked."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.events.dead_letters import DeadLetterPublisher
from mesh.events.event import Codec, Event
from mesh.events.inbox import Consumer
from mesh.events.memory import MemoryBus
from mesh.events.outbox import Outbox
from mesh.events.relay import Relay
from mesh.events.topics import facts_of
from mesh.ids import SystemIds
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.stores.retention import Retention, RetentionPeriods
from mesh.testing.audit import auditor
from mesh.testing.contract import eventually
from soma.assets.v1 import asset_pb2
from soma.events.v1 import facts_pb2
from svc_executor.adapters.postgres import PostgresJobs
from svc_executor.adapters.postgres.erasure import PostgresAssetTexts, PostgresErasures
from svc_executor.adapters.postgres.retention import RETENTION_RULES
from svc_executor.app.control import ControlRequest
from svc_executor.app.erasure import EraseTexts
from svc_executor.domain.job import StepState
from svc_executor.domain.run import JobRun
from svc_executor.events.consumed import AssetEventHandlers
from svc_executor.events.published import EventEncoder
from tests.in_memory.executor.peers import MemoryMeter
from tests.unit.executor.rig import OWNER, IdleRunner, Rig, picture, task, text_result
from tests.unit.executor.test_run_steps import TENANT, Run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from soma_providers.port import Invocation, InvocationResult
    from tests.conftest import Database

SECRET = "the patient's name is Ada"
CLOCK, IDS = SystemClock(), SystemIds()
TEXT = task("a", "generate_text", params={"prompt": "who?"})
QUOTE = task(
    "b", "generate_diagram", depends_on=["a"], params={"source": "graph TD; A[${a.text}]", "prompt": "${a.text}"}
)
HANDLERS = AssetEventHandlers(CLOCK, PostgresAssetTexts).handlers()


@pytest.fixture
async def postgres(database: Database) -> AsyncIterator[Postgres]:
    async with Postgres.open(await database("executor")) as opened:
        yield opened


@pytest.fixture
def rig(postgres: Postgres) -> Rig:
    """An executor on Postgres whose every text is the secret."""
    rig = Rig(store=PostgresJobs(postgres, EventEncoder(IDS, CLOCK), auditor("executor")))
    rig.catalogue.providers["talker"].script = text_result(SECRET)
    return rig


def tombstone(asset_id: str, job_id: str = "", tenant_id: str = TENANT) -> Event:
    asset = asset_pb2.Asset(asset_id=asset_id, origin=asset_pb2.Origin(job_id=job_id))
    payload = facts_pb2.AssetTombstoned(asset=asset, reason="asked for")
    kind = payload.DESCRIPTOR.full_name
    key = job_id or asset_id
    return Event(
        IDS.new(),
        kind,
        facts_of("assets"),
        key,
        tenant_id,
        CLOCK.now(),
        payload.SerializeToString(),
        correlation_id=key,
    )


async def mark(postgres: Postgres, event: Event) -> None:
    async with postgres.transaction(event.tenant_id) as connection:
        await HANDLERS[event.type](connection, event)


async def erase(postgres: Postgres) -> None:
    await EraseTexts(PostgresErasures(postgres), MemoryMeter(), CLOCK)()


async def apply_event(postgres: Postgres, event: Event) -> None:
    """Apply an event, and do what it makes due."""
    await mark(postgres, event)
    await erase(postgres)


def gone(_: Invocation) -> InvocationResult:
    """A provider's behaviour: the worker that waits for it is gone."""
    raise SomaError(Reason.UNAVAILABLE, "gone")


async def written(rig: Rig, *tasks: object, text: str = SECRET) -> tuple[Run, str]:
    """A job whose first step made a text, which is kept, and the asset that has it."""
    run = await Run.of(*(tasks or (TEXT,)), rig=rig)  # type: ignore[arg-type]
    await run.steps.select(run.select("a"))
    await run.steps.attempt(run.attempt("a"))
    description = await run.describe()
    assert description.steps[0].text == description.executions[0].text == text
    return run, description.steps[0].asset_ids[0]


async def kept(postgres: Postgres) -> str:
    """All that the executor keeps of steps and attempts, as text."""
    async with postgres.transaction(SYSTEM) as connection:
        steps = await connection.fetch("SELECT to_jsonb(s)::text AS row FROM job_steps s")
        attempts = await connection.fetch("SELECT to_jsonb(e)::text AS row FROM multimodal_executions e")
    return "\n".join(row["row"] for row in (*steps, *attempts))


async def test_an_erased_text_is_neither_in_the_step_nor_in_its_attempt(postgres: Postgres, rig: Rig) -> None:
    run, asset_id = await written(rig)
    await apply_event(postgres, tombstone(asset_id, run.job_run.job_id))
    assert SECRET not in await kept(postgres)
    (step,) = (await run.describe()).steps
    assert (step.state, step.asset_ids, step.erased) == (StepState.SUCCEEDED, (asset_id,), True)


async def test_what_the_critic_quoted_of_an_erased_picture_is_gone_with_it(postgres: Postgres, rig: Rig) -> None:
    run = await Run.of(task("a", "generate_image", params={"prompt": "a letter"}), rig=rig)
    await run.steps.select(run.select("a"))
    await run.steps.attempt(run.attempt("a"))
    point = {"dimension": "legibility", "code": "CUT_OFF", "message": SECRET, "hint": {"text": SECRET, "px": 3}}
    async with postgres.transaction(TENANT) as connection:
        await connection.execute("UPDATE multimodal_executions SET feedback = $1", [point])
    (asset_id,) = (await run.describe()).executions[0].asset_ids
    await apply_event(postgres, tombstone(asset_id, run.job_run.job_id))
    assert SECRET not in await kept(postgres)
    (found,) = (await run.describe()).executions[0].feedback
    assert (found.dimension, found.code, found.message, found.hint) == ("legibility", "CUT_OFF", "", {})


async def test_every_job_that_has_the_asset_loses_the_text(postgres: Postgres, rig: Rig) -> None:
    first, asset_id = await written(rig)
    second, same = await written(rig)
    assert same == asset_id
    await apply_event(postgres, tombstone(asset_id, first.job_run.job_id))
    assert SECRET not in await kept(postgres)
    assert (await second.describe()).steps[0].erased


async def test_other_texts_and_other_tenants_keep_theirs(postgres: Postgres, rig: Rig) -> None:
    run, asset_id = await written(rig)
    await apply_event(postgres, tombstone(asset_id, run.job_run.job_id, "tenant-b"))
    await apply_event(postgres, tombstone(IDS.new(), run.job_run.job_id))
    assert (await run.describe()).steps[0].text == SECRET


async def test_what_a_later_step_was_asked_is_as_the_plan_has_it_again(postgres: Postgres, rig: Rig) -> None:
    run, asset_id = await written(rig, TEXT, QUOTE)
    await run.steps.select(run.select("b"))
    await run.steps.attempt(run.attempt("b"))
    assert SECRET in str((await run.describe()).executions[1].params)
    await apply_event(postgres, tombstone(asset_id, run.job_run.job_id))
    assert SECRET not in await kept(postgres)
    quoting = (await run.describe()).executions[1]
    assert (quoting.params, quoting.prompt) == (QUOTE["params"], "${a.text}")


async def test_an_attempt_that_a_lost_run_began_is_taken_up_with_the_new_text(postgres: Postgres, rig: Rig) -> None:
    run, asset_id = await written(rig, TEXT, QUOTE)
    await run.steps.select(run.select("b"))
    rig.catalogue.providers["mermaid"].script = gone
    with pytest.raises(SomaError):
        await run.steps.attempt(run.attempt("b"))
    await rig.assets.release(asset_id, run.job_run.job_id, "erased")
    await apply_event(postgres, tombstone(asset_id, run.job_run.job_id))
    assert isinstance(rig.runner, IdleRunner)
    rig.runner.lost.add(run.job_run)
    job = await rig.resume(ControlRequest(OWNER, run.job_run.job_id))
    again = Run(rig, JobRun(TENANT, job.job_id, job.run))
    await again.steps.open_run(again.job_run)
    rig.catalogue.providers["talker"].script, rig.catalogue.providers["mermaid"].script = (
        text_result("It is Bob."),
        picture,
    )
    await again.steps.select(again.select("a", 2))
    for attempt in (again.attempt("a", 2), again.attempt("b")):
        assert (await again.steps.attempt(attempt)).succeeded
    assert rig.calls("mermaid")[-1].params["source"] == "graph TD; A[It is Bob.]"


async def test_a_text_that_is_recorded_after_the_erasure_of_its_asset_is_not_kept(postgres: Postgres, rig: Rig) -> None:
    run = await Run.of(TEXT, rig=rig)
    await run.steps.select(run.select("a"))
    store = rig.assets.store

    async def store_and_erase(upload: object) -> str:
        asset_id = await store(upload)  # type: ignore[arg-type]
        await apply_event(postgres, tombstone(asset_id))
        return asset_id

    rig.assets.store = store_and_erase  # type: ignore[method-assign]
    await run.steps.attempt(run.attempt("a"))
    assert SECRET not in await kept(postgres)
    assert (await run.describe()).steps[0].erased


async def test_an_erasure_waits_for_an_attempt_that_is_being_recorded(postgres: Postgres, rig: Rig) -> None:
    """The event names no job, and no row of the attempt is to be seen yet."""
    first, asset_id = await written(rig)
    async with rig.store.transaction(TENANT, first.job_run.job_id) as transaction:
        attempt = await transaction.execution("a", 1)
        assert attempt is not None
    async with postgres.transaction(SYSTEM) as connection:
        await connection.execute("DELETE FROM asset_texts")
    async with rig.store.transaction(TENANT, first.job_run.job_id) as transaction:
        await transaction.save_execution(attempt)
        marking = asyncio.create_task(mark(postgres, tombstone(asset_id)))

        async def waits() -> bool:
            async with postgres.transaction(SYSTEM) as connection:
                query = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
                return bool(await connection.fetchval(query))

        await eventually(waits)
    await marking
    await erase(postgres)
    assert SECRET not in await kept(postgres)


async def test_attempts_of_an_older_release_are_found_by_the_job_that_stored_the_asset(
    postgres: Postgres, rig: Rig
) -> None:
    run, asset_id = await written(rig)
    async with postgres.transaction(SYSTEM) as connection:
        await connection.execute("DELETE FROM asset_texts")
    await apply_event(postgres, tombstone(asset_id, run.job_run.job_id))
    assert SECRET not in await kept(postgres)


@pytest.mark.parametrize("job_id", ["", "no job", "01900000-0000-7000-8000-000000000001"])
async def test_an_asset_of_no_job_here_is_nothing_to_do(postgres: Postgres, job_id: str) -> None:
    await mark(postgres, tombstone(IDS.new(), job_id))
    assert await PostgresErasures(postgres).unfinished(10) == 0
    assert await kept(postgres) == ""


async def test_the_event_is_applied_once_and_again_without_harm(postgres: Postgres, rig: Rig) -> None:
    run, asset_id = await written(rig)
    bus, codec, event = MemoryBus(), Codec(), tombstone(asset_id, run.job_run.job_id)
    dead_letter_sink = DeadLetterPublisher(Outbox(), ids=IDS, clock=CLOCK)
    consumer = Consumer(
        bus,
        postgres,
        codec,
        "executor",
        (facts_of("assets"),),
        HANDLERS,
        dead_letter_sink=dead_letter_sink,
        clock=CLOCK,
    )

    async def applied() -> bool:
        async with postgres.transaction(SYSTEM) as connection:
            return bool(await connection.fetchval("SELECT count(*) = 2 FROM inbox"))

    async with Relay(postgres, bus, codec, CLOCK, poll_s=0.1), consumer:
        async with postgres.transaction(TENANT) as connection:
            await Outbox().add(connection, event)
            await Outbox().add(connection, tombstone(asset_id, run.job_run.job_id))
        await eventually(applied)
    await erase(postgres)
    assert SECRET not in await kept(postgres)
    assert (await run.describe()).steps[0].erased


async def test_erasures_are_forgotten_with_the_jobs_of_their_time(postgres: Postgres, rig: Rig) -> None:
    run, asset_id = await written(rig)
    await apply_event(postgres, tombstone(asset_id, run.job_run.job_id))

    async def left(days: int) -> int:
        async def terms() -> Mapping[str, RetentionPeriods]:
            return {"jobs": RetentionPeriods(days)}

        await Retention(postgres, RETENTION_RULES, terms, CLOCK).run()
        async with postgres.transaction(SYSTEM) as connection:
            return int(await connection.fetchval("SELECT count(*) FROM erased_assets"))

    assert await left(1) == 1
    async with postgres.transaction(SYSTEM) as connection:
        await connection.execute("UPDATE erased_assets SET erased_at = erased_at - $1::interval", timedelta(days=2))
        await connection.execute("DELETE FROM retention_runs")
    assert await left(1) == 0
