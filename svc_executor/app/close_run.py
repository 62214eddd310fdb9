"""Ends steps without a result, and runs: their results are released when the job failed or was cancelled."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.errors import SomaError
from svc_executor.domain.compensation import assets_to_release, compensations
from svc_executor.domain.job import ExecutionStatus, JobState, StepState
from svc_executor.domain.usage import NO_USAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.clock import Clock
    from soma_providers.port import Usage
    from svc_executor.app.compensate import Compensator
    from svc_executor.app.ports import Assets, JobStore, JobTransaction, Meter
    from svc_executor.app.provider_calls import ProviderCalls
    from svc_executor.app.recorder import Recorder
    from svc_executor.app.starting import StartJobs
    from svc_executor.domain.job import Job
    from svc_executor.domain.run import CloseRunInput, EndStepInput
    from svc_executor.domain.timeline import Compensation

_log = logging.getLogger(__name__)


class EndStep:
    """Ends a step without a result."""

    def __init__(self, store: JobStore, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder

    async def __call__(self, request: EndStepInput) -> None:
        """Record the state; a step that ended stays as it is."""
        async with self._store.transaction(request.job.tenant_id, request.job.job_id) as transaction:
            step = await transaction.step(request.step_id)
            if not step.state.ended:
                state = StepState(request.state)
                ended = replace(step, state=state, message=request.message)
                await self._recorder.record_step_changed(
                    transaction, ended, f"{step.step_id} is {state.lower()}: {request.message}"
                )


class CloseRun:
    """Ends a run: what is open is stopped, what must be undone is undone in reverse, the last state is recorded.

    Safe to repeat: the compensations are listed before the first is done, and each is ticked off.
    """

    def __init__(
        self,
        store: JobStore,
        assets: Assets,
        compensator: Compensator,
        recorder: Recorder,
        calls: ProviderCalls,
        *,
        starting: StartJobs,
        meter: Meter,
        clock: Clock,
    ) -> None:
        self._store = store
        self._starting = starting
        self._calls = calls
        self._assets = assets
        self._compensator = compensator
        self._recorder = recorder
        self._meter = meter
        self._clock = clock

    async def __call__(self, request: CloseRunInput) -> None:
        """End the run; raises while a compensation fails, until `last_try` leaves it to `RetryCompensations`."""
        started = self._clock.monotonic()
        job = await self._store.job(request.job.tenant_id, request.job.job_id)
        if _is_closed(job, request):
            return
        state = JobState(request.state)
        held_assets = await self._held_assets(job, last_try=request.last_try)
        usages = await self._usages_of_calls(job)
        async with self._store.transaction(job.tenant_id, job.job_id) as transaction:
            if _is_closed(transaction.job, request):  # ended or resumed while its peers were asked
                return
            await self._stop_executions(transaction, usages)
            await self._stop_steps(transaction, state)
            pending = await self._pending_compensations(
                transaction, assets_to_release(job, state, await transaction.recorded_assets(), held_assets)
            )
        for compensation in pending:
            await self._compensate(job, compensation, last_try=request.last_try)
        if pending:
            self._meter.rollback(self._clock.monotonic() - started)
        await self._delete_calls(job)
        await self._finish(request, state)
        await self._starting.start_after(job)

    async def _held_assets(self, job: Job, *, last_try: bool) -> list[str]:
        """Assets that the job holds, also those that were not recorded because a worker crashed."""
        try:
            return await self._assets.list_held(job.job_id)
        except SomaError as error:
            if not last_try:
                raise
            _log.warning("assets of job %s could not be listed: %s", job.job_id, error.reason.value)
            async with self._store.transaction(job.tenant_id, job.job_id) as transaction:
                return list(await transaction.recorded_assets())

    async def _stop_steps(self, transaction: JobTransaction, state: JobState) -> None:
        for step in await transaction.steps():
            if not step.state.ended:
                stopped = replace(step, state=StepState.CANCELLED, message=f"the job was {state.lower()}")
                await self._recorder.record_step_changed(transaction, stopped, f"{step.step_id} is cancelled")

    async def _usages_of_calls(self, job: Job) -> dict[str, Usage | None]:
        """What calls used whose attempts were not recorded, by attempt, as far as their outcomes were stored."""
        usages: dict[str, Usage | None] = {}
        for call in await self._store.calls(job.tenant_id, job.job_id):
            outcome = await self._calls.outcome(call)
            if outcome is not None:
                usages[call.execution_id] = outcome.usage
        return usages

    async def _stop_executions(self, transaction: JobTransaction, usages: Mapping[str, Usage | None]) -> None:
        """End all attempts, and report those whose cost is known; the others are reported once they are settled."""
        called = {call.execution_id for call in await transaction.calls()}
        for execution in await transaction.unreported():
            stopped = execution
            if not execution.ended:
                usage = usages.get(execution.execution_id, None if execution.execution_id in called else NO_USAGE)
                stopped = replace(
                    execution,
                    status=ExecutionStatus.CANCELLED,
                    usage=usage,
                    usage_unknown=usage is None,
                    ended_at=self._clock.now(),
                )
                await transaction.save_execution(stopped)
            await self._recorder.publish_end(transaction, stopped)

    async def _delete_calls(self, job: Job) -> None:
        for call in await self._store.calls(job.tenant_id, job.job_id):
            if await self._calls.delete(call.tenant_id, call.execution_id):
                async with self._store.transaction(job.tenant_id, job.job_id) as transaction:
                    await transaction.remove_call(call.execution_id)

    async def _pending_compensations(self, transaction: JobTransaction, assets: list[str]) -> list[Compensation]:
        """The compensations of this run that are to be done: listed on the first try, found again on the next."""
        listed = await transaction.compensations(transaction.job.run)
        if not listed:
            executions = await transaction.executions_to_compensate(assets)
            listed = list(compensations(transaction.job, executions, assets, self._clock.now()))
            for entry in listed:
                await transaction.save_compensation(entry)
        return [each for each in listed if not each.done]

    async def _compensate(self, job: Job, entry: Compensation, *, last_try: bool) -> None:
        try:
            await self._compensator(job, entry)
        except SomaError as error:
            if not last_try:
                raise
            _log.warning("%s %s is undone later: %s", entry.kind.value, entry.target_id, error.reason.value)
            await self._compensator.postpone(job, entry, error.message)

    async def _finish(self, request: CloseRunInput, state: JobState) -> None:
        async with self._store.transaction(request.job.tenant_id, request.job.job_id) as transaction:
            if _is_closed(transaction.job, request):
                return
            ended = replace(transaction.job, state=state, message=request.message, ended_at=self._clock.now())
            detail = f": {request.message}" if request.message else ""
            await self._recorder.record_job_changed(transaction, ended, f"the job is {state.lower()}{detail}")


def _is_closed(job: Job, request: CloseRunInput) -> bool:
    """Whether the run that is to be closed has ended, or another one has started."""
    return job.state.ended or job.run != request.job.run
