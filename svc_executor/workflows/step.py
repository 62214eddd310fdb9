"""One step within the workflow: from rung to rung until a result is accepted or nothing is left."""

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
_MAX_LOSSES = 2
_BOUNDED_ATTEMPTS = "bounded-attempts"


@dataclass
class _Ladder:
    """Where the step stands: rungs that were left, and why the last one was.

    `repeat_of` is the attempt whose result was lost and is made again, `losses` how often that happened on this rung.
    """

    exclude: list[str] = field(default_factory=list)
    reason: str = ""
    code: str = ""
    history: list[str] = field(default_factory=list)
    rework_of: int = 0
    reworks: int = 0
    repeat_of: int = 0
    losses: int = 0

    def leave(self, capability_id: str, code: str, message: str) -> None:
        """Go to the next rung."""
        if capability_id not in self.exclude:
            self.exclude.append(capability_id)
        self.code = code
        self.reason = f"{capability_id}: {code}: {message}"
        self.history.append(self.reason)
        self.rework_of = self.reworks = self.repeat_of = self.losses = 0


def stopped_by(error: ActivityError) -> str:
    """What the timeline says of an activity that cannot be done."""
    cause = error.cause
    detail = f": {cause.type}: {cause.message}" if isinstance(cause, ApplicationError) else ""
    return f"an internal error stopped it{detail}"


class StepRun:
    """Runs one step. `choosing` is held while a capability is chosen for a plan with a cost cap; `ending` tells that
    the job must stop, also when a cancelled activity delivered all the same."""

    def __init__(
        self,
        job_run: JobRun,
        step: StepInfo,
        setup: RunSetup,
        choosing: asyncio.Lock,
        ending: Callable[[], bool],
    ) -> None:
        self._job_run = job_run
        self._step = step
        self._setup = setup
        self._choosing = choosing
        self._ending = ending
        self._ladder = _Ladder()
        self._attempt = step.next_attempt

    async def __call__(self) -> StepState:
        """The state the step ended in; a defect of ours costs the step, not the run."""
        try:
            return await self._run_attempts()
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return await self._give_up(stopped_by(error))

    async def _run_attempts(self) -> StepState:
        while not self._ending():
            choice = await self._choose()
            if not choice.has_capability:
                return await self._give_up(choice.message)
            if await self._try(choice.capability_id):
                return StepState.SUCCEEDED
            if self._is_last and not self._ending():
                return await self._give_up(f"it had the {self._setup.max_attempts} attempts that a step may have")
            self._attempt += 1
        raise asyncio.CancelledError

    @property
    def _is_last(self) -> bool:
        """Whether no attempt may follow this one in this run; versions before this one knew no such bound."""
        made, most = self._attempt - self._step.next_attempt + 1, self._setup.max_attempts
        return 0 < most <= made and workflow.patched(_BOUNDED_ATTEMPTS)

    async def _choose(self) -> SelectionResult:
        ladder = self._ladder
        again = ladder.rework_of or ladder.repeat_of
        request = SelectInput(
            self._job_run,
            self._step.step_id,
            self._attempt,
            list(ladder.exclude),
            fallback_reason="" if again else ladder.reason,
            fallback_code="" if again else ladder.code,
            rework_of=ladder.rework_of,
            repeat_of=ladder.repeat_of,
        )
        if not self._setup.capped:
            return await activity_calls.select(request)
        async with self._choosing:
            return await activity_calls.select(request)

    async def _try(self, capability_id: str) -> bool:
        """One attempt; tells whether its result was accepted, and prepares the next one if it was not."""
        request = AttemptInput(self._job_run, self._step.step_id, self._attempt)
        result = await activity_calls.attempt(request)
        self._ladder.repeat_of = 0
        if not result.succeeded:
            if result.code == RESULT_LOST and self._ladder.losses < _MAX_LOSSES and not self._is_last:
                self._ladder.losses += 1
                self._ladder.repeat_of = self._attempt
            else:
                self._ladder.leave(capability_id, result.code, result.message)
            return False
        if not self._step.gate:
            return True
        if self._ending():
            return False
        verdict = await activity_calls.evaluate(request)
        if verdict.passes:
            return True
        if self._ladder.reworks < self._setup.max_rework and not verdict.repeated and not self._is_last:
            self._ladder.reworks += 1
            self._ladder.rework_of = self._attempt
        else:
            self._ladder.leave(capability_id, _QUALITY, verdict.message)
        return False

    async def _give_up(self, message: str) -> StepState:
        skips = self._step.on_failure == OnFailure.SKIP
        state = StepState.SKIPPED if skips else StepState.FAILED
        full_message = "; then ".join([*self._ladder.history, message])
        await activity_calls.end_step(EndStepInput(self._job_run, self._step.step_id, state.value, full_message))
        return state
