"""What was paid is booked, once, however the attempt and its job end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from soma_providers.port import Failure, InvocationResult, ProviderBusyError, ProviderError, Usage
from svc_executor.domain.job import ExecutionStatus, JobState
from svc_executor.domain.run import CloseRunInput
from tests.unit.executor.rig import Candidate, Rig, capability, task
from tests.unit.executor.test_paid_once import PRICE, Killed, away, drawn, priced, selected_run
from tests.unit.executor.test_run_steps import Run

if TYPE_CHECKING:
    from soma_providers.port import Invocation
    from svc_executor.domain.peers import Selection, SelectionRequest


def close(run: Run, state: JobState = JobState.CANCELLED) -> CloseRunInput:
    return CloseRunInput(run.job_run, state.value, "enough")


async def cost(run: Run) -> tuple[int, int, int]:
    """What attempt, step and job are said to have cost."""
    description = await run.describe()
    return description.executions[0].cost_micro_usd, description.steps[0].cost_micro_usd, description.job.cost_micro_usd


def booked(run: Run) -> list[int]:
    """What the selector was told of settled reservations, when none is open or was given back."""
    assert not run.rig.selector.reserved
    assert not run.rig.selector.released
    return list(run.rig.selector.settled.values())


async def test_a_result_that_the_asset_store_refuses_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await selected_run(priced())

    async def refuse(_: object) -> str:
        raise SomaError(Reason.CONTENT_REJECTED, "the scanner does not like it")

    monkeypatch.setattr(run.rig.assets, "store", refuse)
    assert not (await run.steps.attempt(run.attempt("a"))).succeeded
    assert booked(run) == [PRICE]
    assert await cost(run) == (PRICE, PRICE, PRICE)


async def test_an_answer_without_a_result_is_paid_for() -> None:
    run = await selected_run(priced())
    run.rig.catalogue.providers["painter"].script = lambda call: InvocationResult(usage=drawn(call).usage)
    assert not (await run.steps.attempt(run.attempt("a"))).succeeded
    assert booked(run) == [PRICE]


async def test_a_failed_call_that_used_nothing_gives_its_reservation_back() -> None:
    run = await selected_run(priced())

    def refuse(_: Invocation) -> InvocationResult:
        raise ProviderError(Failure.CONTENT_REJECTED, "no")

    run.rig.catalogue.providers["painter"].script = refuse
    await run.steps.attempt(run.attempt("a"))
    assert (run.rig.selector.settled, len(run.rig.selector.released)) == ({}, 1)


async def test_a_call_that_timed_out_is_settled_at_its_reservation() -> None:
    run = await selected_run(priced())

    def late(_: Invocation) -> InvocationResult:
        raise ProviderError(Failure.TIMEOUT, "too late")

    run.rig.catalogue.providers["painter"].script = late
    await run.steps.attempt(run.attempt("a"))
    assert booked(run) == [PRICE]


async def test_a_call_that_broke_is_settled_at_its_reservation() -> None:
    run = await selected_run(priced())

    def broken(_: Invocation) -> InvocationResult:
        raise OverflowError

    run.rig.catalogue.providers["painter"].script = broken
    result = await run.steps.attempt(run.attempt("a"))
    assert (result.succeeded, result.code) == (False, "INTERNAL")
    assert booked(run) == [PRICE]


async def test_a_call_under_way_when_its_job_is_cancelled_is_settled_at_its_reservation() -> None:
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
    await run.steps.close_run(close(run))
    assert booked(run) == [PRICE]
    assert await cost(run) == (PRICE, PRICE, PRICE)


async def test_a_result_that_was_kept_but_not_recorded_is_booked_at_its_cost_when_the_job_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await selected_run(priced())
    run.rig.catalogue.providers["painter"].script = lambda call: InvocationResult(drawn(call).artefacts)  # used nothing
    with monkeypatch.context() as patch:
        patch.setattr(run.rig.assets, "store", away)
        with pytest.raises(SomaError):
            await run.steps.attempt(run.attempt("a"))
    await run.steps.close_run(close(run))
    assert booked(run) == [0]
    assert run.rig.outcomes.stored_outcomes == {}


async def test_a_recorded_cost_that_could_not_be_settled_is_settled_when_the_job_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await selected_run(priced())
    with monkeypatch.context() as patch:
        patch.setattr(run.rig.selector, "settle", away)
        with pytest.raises(SomaError):
            await run.steps.attempt(run.attempt("a"))
    await run.steps.close_run(close(run, JobState.FAILED))
    assert booked(run) == [PRICE]
    assert await cost(run) == (PRICE, PRICE, PRICE)


async def test_closing_twice_books_once() -> None:
    run = await selected_run(priced())

    def crash(_: Invocation) -> InvocationResult:
        raise Killed

    run.rig.catalogue.providers["painter"].script = crash
    with pytest.raises(Killed):
        await run.steps.attempt(run.attempt("a"))
    settle = run.rig.selector.settle
    tries = iter([True])

    async def lost(reservation_id: str, usage: Usage | None) -> int:
        booked_at = await settle(reservation_id, usage)
        if next(tries, False):
            raise SomaError(Reason.UNAVAILABLE, "the answer was lost")
        return booked_at

    run.rig.selector.settle = lost  # type: ignore[method-assign]
    with pytest.raises(SomaError):
        await run.steps.close_run(close(run))
    await run.steps.close_run(close(run))
    assert booked(run) == [PRICE]
    assert await cost(run) == (PRICE, PRICE, PRICE)
    (execution,) = (await run.describe()).executions
    assert (execution.status, execution.settled) == (ExecutionStatus.CANCELLED, True)


async def test_a_failed_call_is_booked_at_what_it_used() -> None:
    run = await selected_run(priced())

    def cut(_: Invocation) -> InvocationResult:
        raise ProviderError(Failure.UNAVAILABLE, "the answer was cut", usage=Usage(images=2))

    run.rig.catalogue.providers["painter"].script = cut
    await run.steps.attempt(run.attempt("a"))
    assert booked(run) == [2 * PRICE]
    assert await cost(run) == (2 * PRICE,) * 3


async def test_an_attempt_that_waits_for_a_place_costs_nothing_and_is_called_later() -> None:
    run = await selected_run(priced())

    def busy(_: Invocation) -> InvocationResult:
        raise ProviderBusyError("all slots are taken", 3.0)

    run.rig.catalogue.providers["painter"].script = busy
    with pytest.raises(SomaError) as caught:
        await run.steps.attempt(run.attempt("a"))
    assert (caught.value.reason, caught.value.retry_after_s) == (Reason.OVERLOADED, 3.0)
    run.rig.catalogue.providers["painter"].script = drawn
    assert (await run.steps.attempt(run.attempt("a"))).succeeded
    assert booked(run) == [PRICE]


async def test_a_choice_that_comes_after_the_end_of_its_run_begins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await Run.of(task("a", "generate_image"), rig=priced())
    select = run.rig.selector.select

    async def slowly(request: SelectionRequest) -> Selection:
        selection = await select(request)
        await run.steps.close_run(close(run))
        return selection

    monkeypatch.setattr(run.rig.selector, "select", slowly)
    with pytest.raises(SomaError) as caught:
        await run.steps.select(run.select("a"))
    assert caught.value.reason is Reason.CANCELLED
    assert run.rig.selector.reserved == {}
    assert list((await run.describe()).executions) == []


@pytest.mark.parametrize("tokens", [10**22, 10**30])
async def test_an_absurd_number_of_tokens_ends_the_attempt_and_its_run(tokens: int) -> None:
    rig = Rig(candidates=(Candidate("image_photo", capability("painter", "remote"), prices={"output_tokens": 40}),))
    rig.catalogue.providers["painter"].script = lambda call: replace(drawn(call), usage=Usage(output_tokens=tokens))
    run = await selected_run(rig)
    assert (await run.steps.attempt(run.attempt("a"))).succeeded
    await run.steps.close_run(close(run))
    assert booked(run) == [40 * 10**9]
    assert await cost(run) == (40 * 10**9,) * 3
