"""No provider is called on a reservation that has lapsed, and no run acts on what belongs to another run."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.ids import SystemIds, derive, made_at
from mesh.testing import FakeClock
from soma_providers.port import Artefact, InvocationResult
from svc_executor.app.control import ControlRequest
from svc_executor.domain.job import ExecutionStatus, JobState, StepState
from svc_executor.domain.run import CloseRunInput
from svc_executor.settings import ExecutorSettings
from svc_selector.settings import SelectorSettings
from tests.in_memory.executor import peers
from tests.unit.executor.rig import OWNER, IdleRunner, task
from tests.unit.executor.test_paid_once import PRICE, Killed, away, drawn, priced, selected_run
from tests.unit.executor.test_run_steps import Run

if TYPE_CHECKING:
    from soma_providers.port import Invocation
    from svc_executor.domain.peers import Upload
    from svc_executor.domain.provider_call import CallOutcome


def closing(run: Run, state: JobState = JobState.FAILED) -> CloseRunInput:
    return CloseRunInput(run.job_run, state.value, "it was lost")


def resuming(run: Run) -> ControlRequest:
    return ControlRequest(OWNER, run.job_run.job_id)


async def test_an_attempt_that_waited_holds_its_reservation_again_before_the_call() -> None:
    run = await selected_run(priced())
    (reservation,) = run.rig.selector.reserved
    assert (await run.steps.attempt(run.attempt("a"))).succeeded
    assert run.rig.selector.renewed == [reservation]


async def test_an_attempt_whose_reservation_cannot_be_held_again_calls_nobody_and_costs_nothing() -> None:
    run = await selected_run(priced())
    run.rig.selector.reserved.clear()
    result = await run.steps.attempt(run.attempt("a"))
    assert (result.succeeded, result.code) == (False, "BUDGET_EXCEEDED")
    assert run.rig.calls("painter") == []
    assert (await run.describe()).job.cost_micro_usd == 0


async def test_an_attempt_waits_while_the_selector_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await selected_run(priced())

    async def away(_: str) -> None:
        raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "away")

    with monkeypatch.context() as patch:
        patch.setattr(run.rig.selector, "renew", away)
        with pytest.raises(SomaError):
            await run.steps.attempt(run.attempt("a"))
    assert (await run.steps.attempt(run.attempt("a"))).succeeded


async def test_a_paid_call_is_settled_while_its_result_cannot_be_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await selected_run(priced())
    (reservation,) = run.rig.selector.reserved
    monkeypatch.setattr(run.rig.assets, "store", away)
    with pytest.raises(SomaError):
        await run.steps.attempt(run.attempt("a"))
    assert run.rig.selector.settled == {reservation: PRICE}


async def test_the_reservation_of_a_call_that_was_made_is_held_as_long_as_the_budget_bears_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await selected_run(priced())
    (reservation,) = run.rig.selector.reserved
    with monkeypatch.context() as patch:
        patch.setattr(run.rig.assets, "store", away)
        patch.setattr(run.rig.selector, "settle", away)
        for _ in range(2):
            with pytest.raises(SomaError):
                await run.steps.attempt(run.attempt("a"))
    assert run.rig.selector.renewed == [reservation] * 2
    run.rig.selector.reserved.clear()
    assert (await run.steps.attempt(run.attempt("a"))).succeeded
    assert run.rig.selector.settled == {reservation: PRICE}
    assert len(run.rig.calls("painter")) == 1


@pytest.mark.parametrize(("age_s", "renewed"), [(4, False), (59, True), (-30, True)])
async def test_a_reservation_is_renewed_before_a_call_that_does_not_follow_it_at_once(
    monkeypatch: pytest.MonkeyPatch, age_s: float, renewed: bool
) -> None:
    reservation = SystemIds().new()
    made = made_at(reservation)
    assert made is not None
    clock = FakeClock(made + timedelta(seconds=age_s))
    rig = priced(clock)
    monkeypatch.setattr(peers, "derive", lambda *parts: reservation if parts[-1] == "reservation" else derive(*parts))
    run = await selected_run(rig)
    before_the_call: list[list[str]] = []

    async def slow(call: Invocation) -> InvocationResult:
        before_the_call.append(list(rig.selector.renewed))
        await clock.advance(100.0)
        return drawn(call)

    monkeypatch.setattr(rig.catalogue.providers["painter"], "invoke", slow)
    assert (await run.steps.attempt(run.attempt("a"))).succeeded
    assert before_the_call == [[reservation] * renewed]


def test_a_reservation_lasts_a_minute_longer_than_any_call_may_take() -> None:
    longest_s, shortest_ttl_s = 300, 360
    assert ExecutorSettings(provider_timeout_s=longest_s).provider_timeout_s == longest_s
    assert SelectorSettings(reservation_ttl_s=shortest_ttl_s).reservation_ttl_s - longest_s == 60
    with pytest.raises(ValidationError):
        ExecutorSettings(provider_timeout_s=longest_s + 1)
    with pytest.raises(ValidationError):
        SelectorSettings(reservation_ttl_s=shortest_ttl_s - 1)


def test_a_uuid_of_version_7_tells_when_it_was_made() -> None:
    before, made, after = SystemClock().now(), made_at(SystemIds().new()), SystemClock().now()
    assert made is not None
    assert before - timedelta(milliseconds=1) <= made <= after
    assert made_at(derive("x")) is None
    assert made_at("none") is None
    assert made_at("ffffffff-ffff-7fff-bfff-ffffffffffff") is None, "of a year that no datetime has"


async def test_each_run_asks_the_selector_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    run = await Run.of(task("a"))
    select = run.rig.selector.select

    async def remembering(request):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        asked.append(request.request_id)
        return await select(request)

    monkeypatch.setattr(run.rig.selector, "select", remembering)

    async def ended(*_: object) -> None:
        raise SomaError(Reason.UNAVAILABLE, "the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(run.steps.select, "_record_selection", ended)
        with pytest.raises(SomaError):
            await run.steps.select(run.select("a"))
    await run.steps.close_run(closing(run))
    await run.rig.resume(resuming(run))
    run.job_run = run.rig.started[-1]
    await run.steps.open_run(run.job_run)
    await run.steps.select(run.select("a"))
    assert len(set(asked)) == 2


async def lost(*tasks: dict[str, object]) -> Run:
    """A run that has made its steps and whose workflow is gone."""
    run = await Run.of(*(tasks or (task("a"),)))  # type: ignore[arg-type]
    await run.steps.select(run.select("a"))
    await run.steps.attempt(run.attempt("a"))
    assert isinstance(run.rig.runner, IdleRunner)
    run.rig.runner.lost.add(run.job_run)
    return run


async def test_a_run_that_is_resumed_while_it_is_being_closed_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await lost()
    list_held = run.rig.assets.list_held

    async def resumed_meanwhile(job_id: str) -> list[str]:
        monkeypatch.undo()
        await run.rig.resume(resuming(run))
        return await list_held(job_id)

    monkeypatch.setattr(run.rig.assets, "list_held", resumed_meanwhile)
    await run.steps.close_run(closing(run))
    description = await run.describe()
    assert (description.job.state, description.job.run) == (JobState.PENDING, 2)
    assert [step.state for step in description.steps] == [StepState.SUCCEEDED]
    (asset,) = run.rig.assets.stored.values()
    assert asset.holders == {run.job_run.job_id}


async def test_a_run_whose_results_are_being_undone_is_not_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await lost()
    refused: list[SomaError] = []
    release = run.rig.assets.release

    async def resumed_meanwhile(*names: str) -> None:
        try:
            await run.rig.resume(resuming(run))
        except SomaError as error:
            refused.append(error)
        await release(*names)

    monkeypatch.setattr(run.rig.assets, "release", resumed_meanwhile)
    await run.steps.close_run(closing(run))
    assert [error.reason for error in refused] == [Reason.CONFLICT]
    assert (await run.describe()).job.state is JobState.FAILED


def two_files() -> InvocationResult:
    return InvocationResult(
        tuple(Artefact(name.encode(), "text/csv", f"{name}.csv", "data") for name in ("first", "second"))
    )


async def test_an_attempt_that_fails_half_way_names_what_it_stored_so_that_it_is_undone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await Run.of(task("a"))
    run.rig.catalogue.providers["mermaid"].script = lambda _: two_files()
    store = run.rig.assets.store

    async def too_large(upload: Upload) -> str:
        if upload.artefact.filename == "second.csv":
            raise SomaError(Reason.PAYLOAD_TOO_LARGE, "too large")
        return await store(upload)

    monkeypatch.setattr(run.rig.assets, "store", too_large)
    await run.steps.select(run.select("a"))
    assert (await run.steps.attempt(run.attempt("a"))).code == "PAYLOAD_TOO_LARGE"
    (execution,) = (await run.describe()).executions
    assert len(run.rig.assets.stored) == 1
    assert (execution.status, list(execution.asset_ids)) == (ExecutionStatus.FAILED, list(run.rig.assets.stored))
    await run.steps.close_run(closing(run))
    assert all(not asset.holders for asset in run.rig.assets.stored.values())


async def test_what_an_attempt_stores_after_its_run_was_closed_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await Run.of(task("a"))
    store = run.rig.assets.store
    stored: list[str] = []

    async def late(upload: Upload) -> str:
        await run.steps.close_run(closing(run, JobState.CANCELLED))
        stored.append(await store(upload))
        return stored[-1]

    monkeypatch.setattr(run.rig.assets, "store", late)
    await run.steps.select(run.select("a"))
    await run.steps.attempt(run.attempt("a"))
    assert stored
    assert all(not asset.holders for asset in run.rig.assets.stored.values())


async def test_a_result_that_is_kept_after_its_attempt_was_closed_is_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    rig = priced(clock)
    run = await selected_run(rig)
    keep = rig.outcomes.save

    async def late(tenant_id: str, key: str, outcome: CallOutcome) -> None:
        await clock.advance(60.0)
        await run.steps.close_run(closing(run, JobState.CANCELLED))
        await keep(tenant_id, key, outcome)

    async def killed(_: Upload) -> str:
        raise Killed

    monkeypatch.setattr(rig.outcomes, "save", late)
    monkeypatch.setattr(rig.assets, "store", killed)
    with pytest.raises(Killed):
        await run.steps.attempt(run.attempt("a"))
    assert rig.outcomes.stored_outcomes == {}
