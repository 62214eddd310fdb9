"""The workflow of a job: runs every ready step within limits, and ends the run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from svc_executor.domain.job import JobState, StepState
    from svc_executor.domain.run import CANCEL_SIGNAL, WORKFLOW, CloseRunInput, EndStepInput, JobRun, StepInfo
    from svc_executor.domain.task_dsl import OnFailure
    from svc_executor.workflows import activity_calls
    from svc_executor.workflows.step import StepRun, stopped_by

if TYPE_CHECKING:
    from svc_executor.domain.run import RunSetup

_SATISFIED = frozenset({StepState.SUCCEEDED, StepState.FAILED})
_CANCELLED_BY_OPERATOR = "cancelled by an operator"
_ALWAYS_CLOSES = "always-closes"


@workflow.defn(name=WORKFLOW)
class MultimodalJobWorkflow:
    """One run of a job. Its id is the job's; all it holds can be read back from the job's rows."""

    def __init__(self) -> None:
        self._cancel_reason: str | None = None
        self._failure = ""
        self._states: dict[str, StepState] = {}
        self._running: dict[str, asyncio.Task[StepState]] = {}
        self._selection_lock = asyncio.Lock()

    @workflow.run
    async def run(self, job_run: JobRun, elapsed_s: float = 0.0, failure: str = "") -> str:
        """Run to an end and give the job's state; `elapsed_s` is the time that earlier parts of this run took.

        With a `failure` the run only closes: an earlier workflow of it was lost.
        """
        self._failure = failure
        try:
            setup = await activity_calls.open_run(job_run)
        except (ActivityError, asyncio.CancelledError) as error:
            self._record_end_reason(error, "")
            return await self._close(job_run)
        if not setup.proceed:
            return ""
        self._cancel_reason = self._cancel_reason if setup.cancel_reason is None else setup.cancel_reason
        self._states = {step.step_id: StepState(step.state) for step in setup.steps}
        started = workflow.time()
        timeout_message = f"the job took longer than {setup.seconds_left:g} seconds"
        timeout = asyncio.timeout(max(setup.seconds_left - elapsed_s, 0.0))
        try:
            async with timeout:
                await self._run_steps(job_run, setup)
        except TimeoutError:
            self._failure = timeout_message
        except asyncio.CancelledError:
            self._cancel_reason = self._cancel_reason or _CANCELLED_BY_OPERATOR
        except ActivityError as error:
            self._record_end_reason(error, timeout_message if timeout.expired() else "")
        await self._stop_running()
        if not self._is_ending and self._pending_steps(setup):
            workflow.continue_as_new(args=[job_run, elapsed_s + workflow.time() - started])
        return await self._close(job_run)

    @workflow.signal(name=CANCEL_SIGNAL)
    def cancel(self, reason: str) -> None:
        """Stop the job."""
        self._cancel_reason = reason

    @property
    def _is_ending(self) -> bool:
        return self._cancel_reason is not None or bool(self._failure)

    def _record_end_reason(self, error: ActivityError | asyncio.CancelledError, timeout_message: str) -> None:
        """Note why the run ends: an activity that was cut off says only that it was, one with a defect says why.

        Versions before this one let the error out, and nothing closed the run.
        """
        if not workflow.patched(_ALWAYS_CLOSES):
            raise error
        if isinstance(error, ActivityError) and not is_cancelled_exception(error):
            self._failure = self._failure or stopped_by(error)
        elif timeout_message:
            self._failure = self._failure or timeout_message
        elif self._cancel_reason is None:
            self._cancel_reason = _CANCELLED_BY_OPERATOR

    def _pending_steps(self, setup: RunSetup) -> list[StepInfo]:
        return [step for step in setup.steps if not self._states[step.step_id].ended]

    async def _run_steps(self, job_run: JobRun, setup: RunSetup) -> None:
        """Run until all steps ended, the job must end, or the history has grown long enough to begin a new one."""
        while not self._is_ending:
            await self._skip_blocked(job_run, setup)
            if not workflow.info().is_continue_as_new_suggested():
                self._start_ready(job_run, setup)
            if not self._running:
                return
            await workflow.wait_condition(
                lambda: self._is_ending or any(task.done() for task in self._running.values())
            )
            self._collect(setup)

    def _start_ready(self, job_run: JobRun, setup: RunSetup) -> None:
        for step in self._pending_steps(setup):
            if len(self._running) >= setup.parallel:
                return
            dependencies_met = all(self._states[name] in _SATISFIED for name in step.depends_on)
            if dependencies_met and step.step_id not in self._running:
                run = StepRun(job_run, step, setup, self._selection_lock, lambda: self._is_ending)
                self._running[step.step_id] = asyncio.create_task(run())

    def _collect(self, setup: RunSetup) -> None:
        for step in setup.steps:
            task = self._running.get(step.step_id)
            if task is None or not task.done():
                continue
            del self._running[step.step_id]
            self._states[step.step_id] = task.result()
            if task.result() is StepState.FAILED and step.on_failure == OnFailure.FAIL_JOB:
                self._failure = f"step {step.step_id} failed"

    async def _skip_blocked(self, job_run: JobRun, setup: RunSetup) -> None:
        """Skip what waits for a step that was skipped, and what waits for that, and so on."""
        while blocked := self._blocked(setup):
            step_id, dependency = blocked
            message = f"it needs {dependency}, which was skipped"
            await activity_calls.end_step(EndStepInput(job_run, step_id, StepState.SKIPPED.value, message))
            self._states[step_id] = StepState.SKIPPED

    def _blocked(self, setup: RunSetup) -> tuple[str, str] | None:
        """The first step that waits for a skipped one, and which."""
        for step in self._pending_steps(setup):
            for name in step.depends_on:
                if self._states[name] is StepState.SKIPPED:
                    return step.step_id, name
        return None

    async def _stop_running(self) -> None:
        """Cancel what runs and wait until it stopped, so that what it stored is known."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        while tasks:
            try:
                await asyncio.gather(*tasks, return_exceptions=True)
            except asyncio.CancelledError:  # the workflow itself, while it waits; the run is closed all the same
                if not workflow.patched(_ALWAYS_CLOSES):
                    raise
                self._cancel_reason = self._cancel_reason or _CANCELLED_BY_OPERATOR
            tasks = [task for task in tasks if not task.done()]
        self._running.clear()

    async def _close(self, job_run: JobRun) -> str:
        state, message = self._outcome()
        last_try = False
        while True:
            try:
                await activity_calls.close_run(CloseRunInput(job_run, state.value, message, last_try=last_try))
            except (ActivityError, asyncio.CancelledError) as error:
                if is_cancelled_exception(error) and workflow.patched(_ALWAYS_CLOSES):
                    continue  # the workflow was cancelled while it closes
                if last_try or not isinstance(error, ActivityError):
                    raise
                last_try = True
            else:
                return state.value

    def _outcome(self) -> tuple[JobState, str]:
        if self._cancel_reason is not None:
            return JobState.CANCELLED, self._cancel_reason
        if self._failure:
            return JobState.FAILED, self._failure
        missing = sorted(name for name, state in self._states.items() if state is not StepState.SUCCEEDED)
        if missing:
            return JobState.PARTIAL, f"without {', '.join(missing)}"
        return JobState.COMPLETED, ""
