"""Runs one attempt, once."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from mesh import overhead
from mesh.errors import SomaError, is_transient
from soma_providers.port import prompt_of
from svc_executor.app.provider_invoker import AttemptContext, ProviderInvoker
from svc_executor.app.recorder import TimelineEntry
from svc_executor.app.settling import record_settled, settle
from svc_executor.domain.inputs import asset_inputs, referenced_steps, resolved_params
from svc_executor.domain.job import MAX_PROMPT_CHARS, ExecutionContent, ExecutionStatus
from svc_executor.domain.provider_call import CallOutcome, is_repeatable, needs_renewal
from svc_executor.domain.run import AttemptInput, AttemptResult
from svc_executor.domain.timeline import EventType
from svc_executor.domain.usage import NO_USAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.clock import Clock
    from svc_executor.app.ports import JobStore, JobTransaction, Meter, Selector
    from svc_executor.app.provider_calls import ProviderCalls
    from svc_executor.app.recorder import Recorder
    from svc_executor.domain.job import Execution, Step

_log = logging.getLogger(__name__)


class MakeAttempt:
    """Invokes the provider of an attempt unless its result is recorded, records the result, books its cost.

    Safe to repeat at any point: a recorded result is given back, an unrecorded one is made again under the same key.
    """

    def __init__(
        self,
        store: JobStore,
        invoker: ProviderInvoker,
        calls: ProviderCalls,
        selector: Selector,
        recorder: Recorder,
        *,
        meter: Meter,
        clock: Clock,
    ) -> None:
        self._store = store
        self._invoker = invoker
        self._calls = calls
        self._selector = selector
        self._recorder = recorder
        self._meter = meter
        self._clock = clock

    async def __call__(self, request: AttemptInput) -> AttemptResult:
        """How the attempt ended; raises only what waiting would mend."""
        with overhead.measure_overhead(self._clock, "executor", "execution_attempt"):
            return await self._attempt(request)

    async def _attempt(self, request: AttemptInput) -> AttemptResult:
        context = await self._start(request)
        execution = context.execution
        if not self.is_recorded(execution):
            execution = await self._call_and_record(request, context)
        called = context.call is not None or not is_repeatable(execution)
        if called or not execution.settled:
            execution = await self._settle(request, execution)
        succeeded = execution.status in {ExecutionStatus.SUCCEEDED, ExecutionStatus.REJECTED}
        return AttemptResult(succeeded, execution.error_code, execution.error_message)

    async def _call_and_record(self, request: AttemptInput, context: AttemptContext) -> Execution:
        invoker, calls = self._invoker, self._calls
        outcome = await self._call(context)
        context = await self._settle_early(context, outcome)
        stored: dict[str, None] = {}
        ended = await calls.retry_while_unavailable(
            context,
            outcome,
            lambda: invoker.finish(context, outcome, stored),
            lambda error: invoker.fail(context, outcome, error, stored),
        )
        recorded, unused_assets = await calls.retry_while_unavailable(
            context, outcome, lambda: self._record(request, ended)
        )
        await invoker.release_assets(context, unused_assets)
        return recorded

    async def _call(self, context: AttemptContext) -> CallOutcome:
        """The outcome of the provider's call, which is not made on a reservation that has lapsed meanwhile.

        The reservation of a call that was made before is held as long as may be: that call is paid for either way.
        """
        try:
            if needs_renewal(context.execution, self._clock.now()):
                await self._selector.renew(context.execution.reservation_id)
        except SomaError as error:
            if context.call is None and is_transient(error):
                raise
            if context.call is None:
                return CallOutcome(None, error_code=error.reason.value, error_message=error.message)
        return await self._invoker.call(context)

    async def _settle_early(self, context: AttemptContext, outcome: CallOutcome) -> AttemptContext:
        """Settle what a call used at once, since its attempt may wait for longer than its reservation lasts.

        While the selector is away, it is settled once the attempt is recorded.
        """
        execution = context.execution
        if not execution.reservation_id or outcome.usage == NO_USAGE:
            return context
        try:
            cost = await self._selector.settle(execution.reservation_id, outcome.usage)
        except SomaError as error:
            _log.warning("what a call used is settled later: %s", error.reason.value)
            return context
        return replace(context, execution=replace(execution, settled=True, cost_micro_usd=cost))

    @staticmethod
    def is_recorded(execution: Execution) -> bool:
        """Whether the result is known, so that the provider must not be asked again."""
        return execution.ended

    async def _start(self, request: AttemptInput) -> AttemptContext:
        """The attempt with its inputs; the first time, what it is made from is recorded."""
        async with self._store.transaction(request.job.tenant_id, request.job.job_id) as transaction:
            steps = await transaction.step_with_inputs(request.step_id)
            execution = await transaction.execution(request.step_id, request.attempt)
            if execution is None:
                raise KeyError(f"attempt {request.attempt} of {request.step_id} was never started")
            step = steps[request.step_id]
            if execution.started_at is None:
                execution = self._started(execution, step, steps)
                await transaction.save_execution(execution)
            rejected, accepted = await _earlier_attempts(transaction, execution, steps)
            feedback = rejected.feedback if rejected else ()
            call = await transaction.call(execution.execution_id)
            return AttemptContext(transaction.job, step, execution, steps, accepted, feedback, call)

    def _started(self, execution: Execution, step: Step, steps: dict[str, Step]) -> Execution:
        params = resolved_params(step.task, steps)
        return replace(
            execution,
            started_at=self._clock.now(),
            content=ExecutionContent(params),
            prompt=prompt_of(params)[:MAX_PROMPT_CHARS],
            input_asset_ids=tuple(name for source in asset_inputs(step.task, steps) for name in source.asset_ids),
        )

    async def _record(self, request: AttemptInput, ended: Execution) -> tuple[Execution, list[str]]:
        """Record a result. One that another try recorded meanwhile stays; then also assets that nobody needs."""
        async with self._store.transaction(request.job.tenant_id, request.job.job_id) as transaction:
            current = await transaction.execution(request.step_id, request.attempt)
            if current is not None and current.ended:
                return current, await _assets_nobody_needs(transaction, request.job.run, ended)
            if current is not None:  # an erasure may have changed what it was asked
                ended = replace(ended, content=ExecutionContent(current.params, ended.text), prompt=current.prompt)
            step = await transaction.step(request.step_id)
            await transaction.save_execution(ended)
            if ended.cost_known:
                await self._recorder.record_cost(transaction, ended)
            await self._add_timeline_entries(transaction, ended)
            succeeded = ended.status is ExecutionStatus.SUCCEEDED
            if not (succeeded and step.task.requires_evaluation):
                ended = await self._recorder.publish_end(transaction, ended)
            if succeeded and not step.task.requires_evaluation:
                await self._recorder.record_accepted(transaction, ended)
        self._meter.execution(ended)
        if ended.cost_known:
            self._meter.cost(ended)
        return ended, []

    async def _add_timeline_entries(self, transaction: JobTransaction, ended: Execution) -> None:
        step = await transaction.step(ended.step_id)
        name = ended.capability.capability_id
        if ended.status is ExecutionStatus.SUCCEEDED:
            text = f"{step.step_id}: {name} delivered in {ended.latency_ms} ms"
        else:
            text = f"{step.step_id}: {name} failed, {ended.error_code}: {ended.error_message}"
        await self._recorder.add_entry(transaction, TimelineEntry(EventType.EXECUTION, text, step, ended))
        if ended.asset_ids:
            stored = f"{step.step_id}: {len(ended.asset_ids)} asset{'s' * (len(ended.asset_ids) > 1)} stored"
            await self._recorder.add_entry(
                transaction, TimelineEntry(EventType.ASSET, stored, step, ended, ended.asset_ids)
            )

    async def _settle(self, request: AttemptInput, execution: Execution) -> Execution:
        """Book what was used, or give the reservation back when that was nothing, and forget the call."""
        cost = 0 if execution.settled else await settle(self._selector, execution)
        erased = await self._calls.delete(request.job.tenant_id, execution.execution_id)
        async with self._store.transaction(request.job.tenant_id, request.job.job_id) as transaction:
            current = await transaction.execution(request.step_id, request.attempt) or execution
            settled = await record_settled(transaction, self._recorder, current, cost)
            if erased:
                await transaction.remove_call(execution.execution_id)
        if not current.cost_known:
            self._meter.cost(settled)
        return settled


async def _earlier_attempts(
    transaction: JobTransaction, execution: Execution, steps: Mapping[str, Step]
) -> tuple[Execution | None, dict[str, Execution]]:
    """The attempt that was sent back, and by step the accepted ones whose results the params use."""
    rejected_attempt = (execution.step_id, execution.rework_of)
    referenced = [name for name in referenced_steps(steps[execution.step_id].task) if name in steps]
    accepted = {(name, steps[name].accepted_attempt) for name in referenced if steps[name].accepted_attempt}
    attempts = [*accepted, rejected_attempt] if execution.rework_of else [*accepted]
    found = {(each.step_id, each.attempt): each for each in await transaction.executions(attempts)}
    return found.get(rejected_attempt), {
        name: each for (name, number), each in found.items() if (name, number) in accepted
    }


async def _assets_nobody_needs(transaction: JobTransaction, run: int, ended: Execution) -> list[str]:
    """Assets of an attempt of a run that had ended before its result came, which the job holds for no other attempt.

    None while another run goes on: it may be about to record the same bytes, and a job holds them once.
    """
    job = transaction.job
    if job.run != run and not job.state.ended:
        return []
    recorded = await transaction.recorded_assets()
    undone = {entry.target_id for entry in await transaction.compensations(job.run)}
    return [asset_id for asset_id in ended.asset_ids if asset_id not in recorded - undone]
