"""Ending: steps that did not succeed, and runs, whose results are undone when the job failed or was cancelled."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.errors import SomaError
from svc_executor.app.recorder import Note
from svc_executor.domain.job import ExecutionStatus, JobState, StepState
from svc_executor.domain.timeline import Compensation, CompensationKind, EventType

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_executor.app.recorder import Recorder
    from svc_executor.domain.job import Execution, Job
    from svc_executor.domain.peers import Assets, Selector
    from svc_executor.domain.ports import JobStore, Meter, Work
    from svc_executor.domain.run import CloseOrder, StepEnd

_log = logging.getLogger(__name__)
_UNDONE_STATES = frozenset({JobState.FAILED, JobState.CANCELLED})


class EndStep:
    """Ends a step without a result."""

    def __init__(self, store: JobStore, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder

    async def __call__(self, order: StepEnd) -> None:
        """Record the state; a step that ended stays as it is."""
        async with self._store.work(order.job.tenant_id, order.job.job_id) as work:
            step = await work.step(order.step_id)
            if not step.state.ended:
                state = StepState(order.state)
                ended = replace(step, state=state, message=order.message)
                await self._recorder.step_changed(work, ended, f"{step.step_id} is {state.lower()}: {order.message}")


class CloseRun:
    """Ends a run: what is open is stopped, what must be undone is undone in reverse, the last state is recorded.

    Safe to repeat: the undoings are listed before the first is done, and each is ticked off.
    """

    def __init__(
        self, store: JobStore, assets: Assets, selector: Selector, recorder: Recorder, *, meter: Meter, clock: Clock
    ) -> None:
        self._store = store
        self._assets = assets
        self._selector = selector
        self._recorder = recorder
        self._meter = meter
        self._clock = clock

    async def __call__(self, order: CloseOrder) -> None:
        """End the run; raises while an undoing fails, until `last_try` records that it could not be done."""
        started = self._clock.monotonic()
        job = await self._store.job(order.job.tenant_id, order.job.job_id)
        if job.state.ended or job.run != order.job.run:
            return
        state = JobState(order.state)
        strays = await self._strays(job, last_try=order.last_try) if _undoes(job, state) else []
        async with self._store.work(job.tenant_id, job.job_id) as work:
            await self._stop_steps(work, state)
            executions = await self._stop_executions(work)
            todo = await self._listed(work, state, executions, strays)
        for compensation in todo:
            await self._undo(job, compensation, last_try=order.last_try)
        if todo:
            self._meter.rollback(self._clock.monotonic() - started)
        await self._finish(order, state)

    async def _strays(self, job: Job, *, last_try: bool) -> list[str]:
        """Readable assets of the job, also those that a crash kept from being recorded."""
        try:
            return await self._assets.of_job(job.job_id)
        except SomaError as error:
            if not last_try:
                raise
            _log.warning("assets of job %s could not be listed: %s", job.job_id, error.reason.value)
            return []

    async def _stop_steps(self, work: Work, state: JobState) -> None:
        for step in await work.steps():
            if not step.state.ended:
                stopped = replace(step, state=StepState.CANCELLED, message=f"the job was {state.lower()}")
                await self._recorder.step_changed(work, stopped, f"{step.step_id} is cancelled")

    async def _stop_executions(self, work: Work) -> list[Execution]:
        found = []
        for execution in await work.executions():
            stopped = execution
            if not execution.ended:
                stopped = replace(execution, status=ExecutionStatus.CANCELLED, ended_at=self._clock.now())
                await work.save_execution(stopped)
            found.append(await self._recorder.reported(work, stopped))
        return found

    async def _listed(
        self, work: Work, state: JobState, executions: list[Execution], strays: list[str]
    ) -> list[Compensation]:
        """The undoings of this run, newest result first; listed on the first try, found again on the next."""
        job = work.job
        known = [each for each in await work.compensations() if each.run == job.run]
        if not known:
            handled = {
                (each.kind, each.execution_id, each.target_id) for each in await work.compensations() if each.done
            }
            wanted = _undoings(executions, strays if _undoes(job, state) else None)
            for position, (kind, target, execution) in enumerate(
                entry
                for entry in wanted
                if (entry[0], entry[2].execution_id if entry[2] else "", entry[1]) not in handled
            ):
                entry = Compensation(
                    job_id=job.job_id,
                    run=job.run,
                    position=position,
                    kind=kind,
                    target_id=target,
                    step_id=execution.step_id if execution else "",
                    execution_id=execution.execution_id if execution else "",
                    updated_at=self._clock.now(),
                )
                await work.save_compensation(entry)
                known.append(entry)
        return [each for each in known if not each.done]

    async def _undo(self, job: Job, entry: Compensation, *, last_try: bool) -> None:
        hindrance = ""
        try:
            if entry.kind is CompensationKind.ASSET:
                await self._assets.delete(entry.target_id, f"job {job.job_id} did not complete")
            else:
                await self._selector.release(entry.target_id)
        except SomaError as error:
            self._meter.compensation(entry.kind.value, done=False)
            if not last_try:
                raise
            _log.warning("%s %s could not be undone: %s", entry.kind.value, entry.target_id, error.reason.value)
            hindrance = error.message
        else:
            self._meter.compensation(entry.kind.value, done=True)
        await self._tick_off(job, entry, hindrance)

    async def _tick_off(self, job: Job, entry: Compensation, hindrance: str) -> None:
        async with self._store.work(job.tenant_id, job.job_id) as work:
            done = replace(entry, done=not hindrance, message=hindrance, updated_at=self._clock.now())
            await work.save_compensation(done)
            for execution in await work.executions():
                if execution.execution_id == entry.execution_id and entry.kind is CompensationKind.RESERVATION:
                    await work.save_execution(replace(execution, settled=not hindrance))
            words = f"could not be undone: {hindrance}" if hindrance else "is undone"
            step = await work.step(entry.step_id) if entry.step_id else None
            assets = (entry.target_id,) if entry.kind is CompensationKind.ASSET else ()
            note = Note(EventType.COMPENSATION, f"{entry.kind.value} {entry.target_id} {words}", step, None, assets)
            await self._recorder.note(work, note)

    async def _finish(self, order: CloseOrder, state: JobState) -> None:
        async with self._store.work(order.job.tenant_id, order.job.job_id) as work:
            if work.job.state.ended:
                return
            ended = replace(work.job, state=state, message=order.message, ended_at=self._clock.now())
            detail = f": {order.message}" if order.message else ""
            await self._recorder.job_changed(work, ended, f"the job is {state.lower()}{detail}")


def _undoes(job: Job, state: JobState) -> bool:
    """Whether what the job made goes when it ends in this state."""
    keeps = job.terms.keep_on_failure and state is JobState.FAILED
    return state in _UNDONE_STATES and not keeps


def _undoings(
    executions: list[Execution], strays: list[str] | None
) -> list[tuple[CompensationKind, str, Execution | None]]:
    """What to undo, newest first. `strays` are stored assets that no attempt recorded; None: assets are kept."""
    found: list[tuple[CompensationKind, str, Execution | None]] = []
    recorded = {asset_id for execution in executions for asset_id in execution.asset_ids}
    found.extend((CompensationKind.ASSET, asset_id, None) for asset_id in strays or () if asset_id not in recorded)
    for execution in reversed(executions):
        if strays is not None:
            found.extend((CompensationKind.ASSET, asset_id, execution) for asset_id in reversed(execution.asset_ids))
        if not execution.settled:
            found.append((CompensationKind.RESERVATION, execution.reservation_id, execution))
    return found
