"""One step within the workflow: attempts, with one capability after the other, until a result is accepted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from svc_executor.domain.job import StepState
    from svc_executor.domain.provider_call import RESULT_LOST
    from svc_executor.domain.run import AttemptInput, EndStepInput, SelectInput
    from svc_executor.domain.task_dsl import OnFailure
    from svc_executor.workflows import activity_calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from svc_executor.domain.run import JobRun, RunSetup, SelectionResult, StepInfo

_QUALITY = "QUALITY"
_MAX_LOST_RESULTS = 2
_BOUNDED_ATTEMPTS = "bounded-attempts"


@dataclass
class _StepProgress:
    """Which capabilities were excluded so far, and why the last one was.

    `repeat_of` is the attempt whose result was lost and that is repeated, `lost_results` how often that happened with
    the current capability, `reworks` how often its results were sent back.
    """

    exclude: list[str] = field(default_factory=list)
    reason: str = ""
    code: str = ""
    history: list[str] = field(default_factory=list)
    rework_of: int = 0
    reworks: int = 0
    repeat_of: int = 0
    lost_results: int = 0

    def exclude_capability(self, capability_id: str, code: str, message: str) -> None:
        """Exclude the current capability, so that the next one is selected."""
        if capability_id not in self.exclude:
            self.exclude.append(capability_id)
        self.code = code
        self.reason = f"{capability_id}: {code}: {message}"
        self.history.append(self.reason)
        self.rework_of = self.reworks = self.repeat_of = self.lost_results = 0


def stopped_by(error: ActivityError) -> str:
    """What the timeline says of an activity that cannot be done."""
    cause = error.cause
    detail = f": {cause.type}: {cause.message}" if isinstance(cause, ApplicationError) else ""
    return f"an internal error stopped it{detail}"


class StepRun:
    """Runs one step.

    `selection_lock` is held while a capability is selected for a plan with a cost cap. `is_ending` tells whether the
    job must stop, also where a cancelled activity returned a result.
    """

    def __init__(
        self,
        job_run: JobRun,
        step: StepInfo,
        setup: RunSetup,
        selection_lock: asyncio.Lock,
        is_ending: Callable[[], bool],
    ) -> None:
        self._job_run = job_run
        self._step = step
        self._setup = setup
        self._selection_lock = selection_lock
        self._is_ending = is_ending
        self._progress = _StepProgress()
        self._attempt = step.next_attempt

    async def __call__(self) -> StepState:
        """Returns the state that the step ended in; an internal error fails the step, not the run."""
        try:
            return await self._run_attempts()
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return await self._end_without_result(stopped_by(error))

    async def _run_attempts(self) -> StepState:
        while not self._is_ending():
            selection = await self._select()
            if not selection.has_capability:
                return await self._end_without_result(selection.message)
            if await self._run_attempt(selection.capability_id):
                return StepState.SUCCEEDED
            if self._is_last and not self._is_ending():
                return await self._end_without_result(
                    f"it had the {self._setup.max_attempts} attempts that a step may have"
                )
            self._attempt += 1
        raise asyncio.CancelledError

    @property
    def _is_last(self) -> bool:
        """Whether no attempt may follow this one in this run; versions before this one knew no such bound."""
        attempts, limit = self._attempt - self._step.next_attempt + 1, self._setup.max_attempts
        return 0 < limit <= attempts and workflow.patched(_BOUNDED_ATTEMPTS)

    async def _select(self) -> SelectionResult:
        progress = self._progress
        is_repeat = progress.rework_of or progress.repeat_of
        request = SelectInput(
            self._job_run,
            self._step.step_id,
            self._attempt,
            list(progress.exclude),
            fallback_reason="" if is_repeat else progress.reason,
            fallback_code="" if is_repeat else progress.code,
            rework_of=progress.rework_of,
            repeat_of=progress.repeat_of,
        )
        if not self._setup.capped:
            return await activity_calls.select(request)
        async with self._selection_lock:
            return await activity_calls.select(request)

    async def _run_attempt(self, capability_id: str) -> bool:
        """Runs one attempt. Returns whether its result was accepted; if not, the next one is prepared."""
        request = AttemptInput(self._job_run, self._step.step_id, self._attempt)
        result = await activity_calls.attempt(request)
        self._progress.repeat_of = 0
        if not result.succeeded:
            if result.code == RESULT_LOST and self._progress.lost_results < _MAX_LOST_RESULTS and not self._is_last:
                self._progress.lost_results += 1
                self._progress.repeat_of = self._attempt
            else:
                self._progress.exclude_capability(capability_id, result.code, result.message)
            return False
        if not self._step.gate:
            return True
        if self._is_ending():
            return False
        evaluation = await activity_calls.evaluate(request)
        if evaluation.passes:
            return True
        if self._progress.reworks < self._setup.max_rework and not evaluation.repeated and not self._is_last:
            self._progress.reworks += 1
            self._progress.rework_of = self._attempt
        else:
            self._progress.exclude_capability(capability_id, _QUALITY, evaluation.message)
        return False

    async def _end_without_result(self, message: str) -> StepState:
        is_skipped = self._step.on_failure == OnFailure.SKIP
        state = StepState.SKIPPED if is_skipped else StepState.FAILED
        full_message = "; then ".join([*self._progress.history, message])
        await activity_calls.end_step(EndStepInput(self._job_run, self._step.step_id, state.value, full_message))
        return state
