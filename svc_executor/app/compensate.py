"""Undoing one thing that a job made, or settling what is left open of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.errors import SomaError
from svc_executor.app.recorder import TimelineEntry
from svc_executor.app.settling import record_settled, settle
from svc_executor.domain.timeline import CompensationKind, EventType

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_executor.app.ports import Assets, JobStore, JobTransaction, Meter, Selector
    from svc_executor.app.recorder import Recorder
    from svc_executor.domain.job import Job
    from svc_executor.domain.timeline import Compensation


class Compensator:
    """Does a compensation and ticks it off. Safe to repeat."""

    def __init__(
        self, store: JobStore, assets: Assets, selector: Selector, recorder: Recorder, *, meter: Meter, clock: Clock
    ) -> None:
        self._store = store
        self._assets = assets
        self._selector = selector
        self._recorder = recorder
        self._meter = meter
        self._clock = clock

    async def __call__(self, job: Job, entry: Compensation) -> None:
        """Do it; raises the error of the service that hinders it."""
        try:
            cost = await self._compensate(job, entry)
        except SomaError:
            self._meter.compensation(entry.kind.value, done=False)
            raise
        self._meter.compensation(entry.kind.value, done=True)
        await self._record(job, entry, "", cost)

    async def postpone(self, job: Job, entry: Compensation, failure: str) -> None:
        """Record that it could not be done yet."""
        await self._record(job, entry, failure)

    async def _compensate(self, job: Job, entry: Compensation) -> int:
        """Undo it; gives what a reservation was settled at."""
        if entry.kind is CompensationKind.ASSET:
            await self._assets.release(entry.target_id, job.job_id, f"job {job.job_id} gives it up")
            return 0
        async with self._store.transaction(job.tenant_id, job.job_id) as transaction:
            execution = await transaction.execution_by_id(entry.execution_id)
        if execution is not None:
            return await settle(self._selector, execution)
        await self._selector.release(entry.target_id)
        return 0

    async def _record(self, job: Job, entry: Compensation, failure: str, cost_micro_usd: int = 0) -> None:
        async with self._store.transaction(job.tenant_id, job.job_id) as transaction:
            current = await transaction.compensation(entry.run, entry.position)
            if current is not None and current.done:
                return
            done = replace(entry, done=not failure, message=failure, updated_at=self._clock.now())
            await transaction.save_compensation(done)
            if entry.kind is CompensationKind.RESERVATION and not failure:
                await self._record_cost(transaction, entry.execution_id, cost_micro_usd)
            result = f"could not be undone yet: {failure}" if failure else "is undone"
            step = await transaction.step(entry.step_id) if entry.step_id else None
            assets = (entry.target_id,) if entry.kind is CompensationKind.ASSET else ()
            timeline_entry = TimelineEntry(
                EventType.COMPENSATION, f"{entry.kind.value} {entry.target_id} {result}", step, None, assets
            )
            await self._recorder.add_entry(transaction, timeline_entry)

    async def _record_cost(self, transaction: JobTransaction, execution_id: str, cost_micro_usd: int) -> None:
        """Record what an attempt was settled at, and publish its end: its run is closing, no evaluation follows."""
        execution = await transaction.execution_by_id(execution_id)
        if execution is None:
            return
        settled = await record_settled(transaction, self._recorder, execution, cost_micro_usd)
        await self._recorder.publish_end(transaction, settled)
        if not execution.cost_known:
            self._meter.cost(settled)
