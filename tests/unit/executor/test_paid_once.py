"""An attempt calls its provider once and is paid for once, whatever is away afterwards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.testing import FakeClock
from soma_providers.port import Artefact, InvocationResult, Usage
from svc_executor.domain.job import ExecutionStatus, JobState
from svc_executor.domain.provider_call import RESULT_LOST
from svc_executor.domain.run import CloseRunInput
from tests.in_memory.executor.jobs import MemoryJobs
from tests.unit.executor.rig import Rig, ScriptedProvider, task
from tests.unit.executor.test_run_steps import Run

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from soma_providers.port import Invocation
    from tests.in_memory.executor.jobs import MemoryJobTransaction

PRICE = 40_000


def drawn(call: Invocation) -> InvocationResult:
    """A picture that costs what it was reserved for."""
    return InvocationResult(
        (Artefact(call.idempotency_key.encode(), "image/png", "p.png", "image"),), usage=Usage(images=1)
    )


async def away(*_: object) -> None:
    """A service that does not answer."""
    raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "away")


def priced(clock: FakeClock | None = None) -> Rig:
    rig = Rig() if clock is None else Rig(clock=clock)
    rig.catalogue.providers["painter"].script = drawn
    return rig


async def selected_run(rig: Rig) -> Run:
    """A run whose paid attempt is chosen."""
    run = await Run.of(task("a", "generate_image"), rig=rig)
    await run.steps.select(run.select("a"))
    return run


class Killed(BaseException):
    """The worker is gone in this moment."""


async def test_a_result_is_bought_once_while_the_asset_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await selected_run(priced())
    with monkeypatch.context() as patch:
        patch.setattr(run.rig.assets, "store", away)
        for _ in range(20):
            with pytest.raises(SomaError):
                await run.steps.attempt(run.attempt("a"))
    assert (await run.steps.attempt(run.attempt("a"))).succeeded
    assert len(run.rig.calls("painter")) == 1
    assert list(run.rig.selector.settled.values()) == [PRICE]
    assert (await run.describe()).job.cost_micro_usd == PRICE


async def test_a_result_is_bought_once_while_the_database_is_away_after_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await selected_run(priced())
    transaction = MemoryJobs.transaction

    def gone(store: MemoryJobs, *names: str) -> AbstractAsyncContextManager[MemoryJobTransaction]:
        if run.rig.calls("painter"):
            raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "away")
        return transaction(store, *names)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryJobs, "transaction", gone)
        for _ in range(3):
            with pytest.raises(SomaError):
                await run.steps.attempt(run.attempt("a"))
    assert (await run.steps.attempt(run.attempt("a"))).succeeded
    assert len(run.rig.calls("painter")) == 1


async def test_a_result_is_bought_once_when_the_worker_is_killed_between_the_answer_and_the_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await selected_run(priced())

    async def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run.rig.assets, "store", killed)
        with pytest.raises(Killed):
            await run.steps.attempt(run.attempt("a"))
    assert (await run.steps.attempt(run.attempt("a"))).succeeded
    assert len(run.rig.calls("painter")) == 1
    assert run.rig.outcomes.stored_outcomes == {}


async def test_what_was_decided_without_a_call_is_not_kept_as_the_result_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await selected_run(priced())
    painter = run.rig.catalogue.providers.pop("painter")
    with monkeypatch.context() as patch:
        patch.setattr(run.steps.attempt, "_record", away)
        with pytest.raises(SomaError):
            await run.steps.attempt(run.attempt("a"))
    assert run.rig.outcomes.stored_outcomes == {}
    run.rig.catalogue.providers["painter"] = painter
    assert (await run.steps.attempt(run.attempt("a"))).succeeded
    assert len(run.rig.calls("painter")) == 1


async def test_a_result_that_no_store_takes_is_held_until_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    run = await selected_run(priced(clock))
    patch = monkeypatch
    patch.setattr(run.rig.outcomes, "save", away)
    patch.setattr(run.rig.assets, "store", away)
    attempt = asyncio.create_task(run.steps.attempt(run.attempt("a")))
    await clock.sleeper()
    await clock.advance(60.0)
    patch.undo()
    await clock.advance(20.0)
    assert (await attempt).succeeded
    assert len(run.rig.calls("painter")) == 1


async def test_a_result_that_no_store_takes_for_minutes_fails_at_its_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    run = await selected_run(priced(clock))
    monkeypatch.setattr(run.rig.outcomes, "save", away)
    monkeypatch.setattr(run.rig.assets, "store", away)
    attempt = asyncio.create_task(run.steps.attempt(run.attempt("a")))
    await clock.sleeper()
    await clock.advance(400.0)
    result = await attempt
    assert (result.succeeded, result.code) == (False, "DEPENDENCY_UNAVAILABLE")
    assert list(run.rig.selector.settled.values()) == [PRICE]


async def test_a_call_that_may_still_run_elsewhere_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    run = await selected_run(priced(clock))

    def crash(_: Invocation) -> InvocationResult:
        raise Killed

    run.rig.catalogue.providers["painter"].script = crash
    with pytest.raises(Killed):
        await run.steps.attempt(run.attempt("a"))
    with pytest.raises(SomaError) as caught:
        await run.steps.attempt(run.attempt("a"))
    assert caught.value.reason is Reason.CONFLICT
    assert caught.value.retry_after_s is not None
    assert len(run.rig.calls("painter")) == 1


async def test_a_call_whose_answer_was_lost_is_settled_at_its_reservation() -> None:
    clock = FakeClock()
    run = await selected_run(priced(clock))

    def crash(_: Invocation) -> InvocationResult:
        raise Killed

    run.rig.catalogue.providers["painter"].script = crash
    with pytest.raises(Killed):
        await run.steps.attempt(run.attempt("a"))
    await clock.advance(60.0)
    result = await run.steps.attempt(run.attempt("a"))
    assert (result.succeeded, result.code) == (False, RESULT_LOST)
    assert list(run.rig.selector.settled.values()) == [PRICE]
    assert (await run.describe()).job.cost_micro_usd == PRICE
    assert len(run.rig.calls("painter")) == 1


async def test_a_call_cut_off_by_its_worker_is_not_waited_for() -> None:
    run = await selected_run(priced())
    started = asyncio.Event()

    class Endless:
        provider = "remote"

        async def invoke(self, _: Invocation) -> InvocationResult:
            started.set()
            await asyncio.Event().wait()
            raise AssertionError

    run.rig.catalogue.providers["painter"] = Endless()  # type: ignore[assignment]
    attempt = asyncio.create_task(run.steps.attempt(run.attempt("a")))
    await started.wait()
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert (await run.steps.attempt(run.attempt("a"))).code == RESULT_LOST


async def test_an_attempt_that_was_ended_meanwhile_does_not_call(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await selected_run(priced())

    async def close(*_: object) -> dict[str, object]:
        await run.steps.close_run(CloseRunInput(run.job_run, JobState.CANCELLED.value, "enough"))
        return {}

    monkeypatch.setattr(run.steps.attempt._invoker._credentials, "read", close)
    await run.steps.attempt(run.attempt("a"))
    assert run.rig.calls("painter") == []
    (execution,) = (await run.describe()).executions
    assert execution.status is ExecutionStatus.CANCELLED


async def test_an_attempt_that_replaces_a_lost_one_has_the_same_capability_and_key() -> None:
    run = await selected_run(priced())
    await run.steps.select(run.select("a", 2, repeat_of=1))
    first, second = (await run.describe()).executions
    assert second.capability == first.capability
    assert second.idempotency_key == first.idempotency_key
    assert second.reservation_id != first.reservation_id


async def test_a_late_answer_of_a_lost_attempt_leaves_the_result_of_the_next_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock()
    run = await selected_run(priced(clock))
    started, answer = asyncio.Event(), asyncio.Event()

    class Slow:
        provider = "remote"

        async def invoke(self, call: Invocation) -> InvocationResult:
            started.set()
            await answer.wait()
            return drawn(call)

    run.rig.catalogue.providers["painter"] = Slow()  # type: ignore[assignment]
    late = asyncio.create_task(run.steps.attempt(run.attempt("a")))
    await started.wait()
    await clock.advance(60.0)
    assert (await run.steps.attempt(run.attempt("a"))).code == RESULT_LOST
    await run.steps.select(run.select("a", 2, repeat_of=1))
    run.rig.catalogue.providers["painter"] = ScriptedProvider("remote", drawn)
    with monkeypatch.context() as patch:
        patch.setattr(run.rig.assets, "store", away)
        with pytest.raises(SomaError):
            await run.steps.attempt(run.attempt("a", 2))
    answer.set()
    await late
    assert len(run.rig.outcomes.stored_outcomes) == 1
    assert (await run.steps.attempt(run.attempt("a", 2))).succeeded
    assert len(run.rig.calls("painter")) == 1
    assert run.rig.outcomes.stored_outcomes == {}
