"""A run is closed on every way out, on the real Temporal server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from svc_executor.app.close_run import CloseRun, EndStep
from svc_executor.app.control import CancelJob, ControlRequest
from svc_executor.app.open_run import OpenRun
from svc_executor.app.sweeps import RUN_LOST, CloseLostRuns
from svc_executor.domain.job import JobState, StepState
from tests.unit.executor.rig import OWNER, Rig, ScriptedProvider, down, plan, states, task

if TYPE_CHECKING:
    from temporalio.client import Client

    from soma_providers.port import Invocation, InvocationResult
    from svc_executor.domain.job import Job
    from svc_executor.domain.run import CloseRunInput, EndStepInput
    from tests.integration.executor.conftest import Run

STEPS = (task("photo", "generate_image", on_failure="SKIP"), task("after", depends_on=["photo"]))


@pytest.fixture
def skipping(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Steps that are skipped cannot be recorded; set when the first one was tried."""
    end_step, tried = EndStep.__call__, asyncio.Event()

    async def away(self: EndStep, request: EndStepInput) -> None:
        if request.step_id == "after":
            tried.set()
            raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "the database is away")
        await end_step(self, request)

    monkeypatch.setattr(EndStep, "__call__", away)
    return tried


async def test_a_run_that_is_overdue_while_it_skips_a_step_is_closed(work_on: Run, skipping: asyncio.Event) -> None:
    rig = await work_on(Rig())
    rig.catalogue.providers["painter"].script = down
    description = await rig.run(*STEPS, budget={"max_duration_sec": 2})
    assert skipping.is_set()
    assert (description.job.state, description.job.message) == (JobState.FAILED, "the job took longer than 2 seconds")
    assert states(description)["after"] is StepState.CANCELLED


async def test_a_workflow_that_is_cancelled_while_it_skips_a_step_is_closed(
    work_on: Run, skipping: asyncio.Event, temporal_client: Client
) -> None:
    rig = await work_on(Rig())
    rig.catalogue.providers["painter"].script = down
    job = await rig.submit(plan(*STEPS))
    await skipping.wait()
    await temporal_client.get_workflow_handle(job.job_id).cancel()
    description = await rig.ended(job)
    assert (description.job.state, description.job.message) == (JobState.CANCELLED, "cancelled by an operator")


async def test_a_workflow_that_is_cancelled_while_it_closes_goes_on_closing(
    work_on: Run, monkeypatch: pytest.MonkeyPatch, temporal_client: Client
) -> None:
    close, closing, cancelled = CloseRun.__call__, asyncio.Event(), asyncio.Event()

    async def slowly(self: CloseRun, request: CloseRunInput) -> None:
        if not cancelled.is_set():
            closing.set()
            await cancelled.wait()
            raise SomaError(Reason.UNAVAILABLE, "away")
        await close(self, request)

    monkeypatch.setattr(CloseRun, "__call__", slowly)
    rig = await work_on(Rig())
    job = await rig.submit(plan(task("a")))
    await closing.wait()
    await temporal_client.get_workflow_handle(job.job_id).cancel()
    cancelled.set()
    assert (await rig.ended(job)).job.state is JobState.COMPLETED


@pytest.mark.parametrize("defect", [OverflowError, UnicodeError, RecursionError, KeyError])
async def test_a_defect_ends_the_step_at_once_with_its_kind(
    work_on: Run, monkeypatch: pytest.MonkeyPatch, defect: type[Exception]
) -> None:
    rig = Rig()

    async def broken(_: object) -> None:
        raise defect

    monkeypatch.setattr(rig.selector, "select", broken)
    await work_on(rig)
    description = await rig.run(task("a"))
    assert description.job.state is JobState.FAILED
    assert description.steps[0].message == f"an internal error stopped it: INTERNAL: {defect.__name__}"


async def test_a_step_whose_end_cannot_be_recorded_ends_the_job(work_on: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: EndStep, request: EndStepInput) -> None:
        raise OverflowError(request.step_id)

    monkeypatch.setattr(EndStep, "__call__", broken)
    rig = await work_on(Rig())
    rig.catalogue.providers["painter"].script = down
    description = await rig.run(task("photo", "generate_image"))
    assert description.job.state is JobState.FAILED
    assert description.job.message == "an internal error stopped it: INTERNAL: OverflowError"


async def test_a_run_that_cannot_be_opened_is_closed(work_on: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: OpenRun, request: object) -> None:
        raise OverflowError(request)

    monkeypatch.setattr(OpenRun, "__call__", broken)
    rig = await work_on(Rig())
    description = await rig.run(task("a"))
    assert description.job.state is JobState.FAILED


async def lost(rig: Rig, client: Client) -> Job:
    """A RUNNING job whose workflow was terminated."""
    started = asyncio.Event()

    class Endless:
        provider = "remote"

        async def invoke(self, _: Invocation) -> InvocationResult:
            started.set()
            await asyncio.Event().wait()
            raise AssertionError

    rig.catalogue.providers["painter"] = Endless()  # type: ignore[assignment]
    job = await rig.submit(plan(task("a"), task("photo", "generate_image", depends_on=["a"])))
    await started.wait()
    await client.get_workflow_handle(job.job_id).terminate()
    return job


async def test_a_job_whose_workflow_is_gone_is_closed_by_the_sweep(work_on: Run, temporal_client: Client) -> None:
    rig = await work_on(Rig())
    job = await lost(rig, temporal_client)
    sweep = CloseLostRuns(rig.store, rig.runner, rig.meter)
    assert await sweep() == 1
    description = await rig.ended(job)
    assert (description.job.state, description.job.message) == (JobState.FAILED, RUN_LOST)
    assert list(rig.selector.settled.values()) == [40_000]
    assert rig.assets.stored == {}
    assert await sweep() == 0


async def test_a_job_whose_workflow_is_gone_can_be_cancelled(work_on: Run, temporal_client: Client) -> None:
    rig = await work_on(Rig())
    job = await lost(rig, temporal_client)
    await CancelJob(rig.store, rig.runner)(ControlRequest(OWNER, job.job_id, reason="enough"))
    description = await rig.ended(job)
    assert (description.job.state, description.job.message) == (JobState.CANCELLED, "enough")
    assert rig.selector.reserved == {}


async def test_a_job_whose_workflow_is_gone_can_be_resumed(work_on: Run, temporal_client: Client) -> None:
    rig = await work_on(Rig())
    job = await lost(rig, temporal_client)
    rig.catalogue.providers["painter"] = ScriptedProvider("remote")
    resume = rig.resume
    await resume(ControlRequest(OWNER, job.job_id))
    description = await rig.ended(job)
    assert (description.job.state, description.job.run) == (JobState.COMPLETED, 2)
    assert len(rig.calls("mermaid")) == 1
