"""Choosing the capability of an attempt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from mesh.ids import derive
from soma_providers.port import CapabilityKey, larger_usage
from svc_executor.app.recorder import TimelineEntry
from svc_executor.domain.erasure import ErasedTextError, check_texts
from svc_executor.domain.inputs import InputsTooLargeError, resolved_params
from svc_executor.domain.job import Execution, StepState
from svc_executor.domain.prompts import feedback_summary, shorten
from svc_executor.domain.run import SelectInput, SelectionResult
from svc_executor.domain.selection_requests import estimate_request_of, selection_request_of
from svc_executor.domain.timeline import EventType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_providers.port import EstimateRequest, Estimates, JsonValue, Usage
    from svc_executor.app.ports import JobStore, JobTransaction, Meter, Selector
    from svc_executor.app.recorder import Recorder
    from svc_executor.domain.job import Job, SelectedCapability, Step
    from svc_executor.domain.peers import Selection, SelectionRequest

_CAP_USED_UP_MICRO_USD = 1
_CAUSES_CHARS = 1_500


@dataclass(frozen=True)
class _ReplacedAttempts:
    """The attempt that was sent back and the attempt whose result was lost, where this one replaces them."""

    rejected: Execution | None
    lost_result: Execution | None


@dataclass(frozen=True)
class _SelectionPlan:
    """What the request of an attempt is made from, without its units.

    `remaining_micro_usd` is what is left of the plan's cost cap, 0 without a cap.
    """

    job: Job
    step: Step
    select_input: SelectInput
    params: Mapping[str, JsonValue]
    replaced: _ReplacedAttempts
    remaining_micro_usd: int

    def estimate_request(self, capability: SelectedCapability | None) -> EstimateRequest:
        """The call of a capability, or of any."""
        rejected = self.replaced.rejected
        return estimate_request_of(self.step.task, self.params, rejected.feedback if rejected else (), capability)

    def request(self, units: Usage) -> SelectionRequest:
        """The request for a call that consumes so many units at most."""
        replaced_attempt = self.replaced.lost_result or self.replaced.rejected
        return selection_request_of(
            self.job,
            self.step,
            self.select_input,
            self.params,
            replaced=replaced_attempt,
            max_cost_micro_usd=self.remaining_micro_usd,
            units=units,
        )


class SelectCapability:
    """Asks the selector, and records what it chose as the beginning of the attempt.

    Safe to repeat: the selector answers the same request alike, and an attempt that exists already is left as it is.
    """

    def __init__(
        self, store: JobStore, selector: Selector, recorder: Recorder, meter: Meter, estimates: Estimates
    ) -> None:
        self._estimates = estimates
        self._store = store
        self._selector = selector
        self._recorder = recorder
        self._meter = meter

    async def __call__(self, select_input: SelectInput) -> SelectionResult:
        """The choice; an error that a later call may not meet is raised, any other is the answer."""
        async with self._store.transaction(select_input.job.tenant_id, select_input.job.job_id) as transaction:
            existing = await transaction.execution(select_input.step_id, select_input.attempt)
            if existing is not None:
                return SelectionResult(existing.capability.capability_id)
            try:
                plan = await self._plan(transaction, select_input)
            except (InputsTooLargeError, ErasedTextError) as error:
                return SelectionResult(message=str(error))
        try:
            request, selection = await self._select(plan)
        except SomaError as error:
            if error.status_mapping.retryable:
                raise
            return SelectionResult(message=_rejection_message(error))
        try:
            return await self._record_selection(select_input, request, selection, plan.replaced)
        except SomaError as error:
            if error.reason is Reason.CANCELLED and selection.reservation_id:
                await self._selector.release(selection.reservation_id)
            raise

    async def _select(self, plan: _SelectionPlan) -> tuple[SelectionRequest, Selection]:
        """Select, and again where a call of the choice, with its default parameters, may consume more than was asked.

        The units of each choice count from then on, so that this ends when each was chosen once.
        """
        task, estimated = plan.step.task, set[CapabilityKey]()
        units = self._estimates.for_modality(task.modality, plan.estimate_request(None))
        while True:
            request = plan.request(units)
            selection = await self._selector.select(request)
            if not selection.reservation_id:
                return request, selection
            capability = selection.capability
            needed_units = larger_usage(
                units, self._estimates.for_adapter(capability.adapter, plan.estimate_request(capability))
            )
            key = CapabilityKey(capability.capability_id, capability.owner_tenant_id)
            if key in estimated or needed_units == larger_usage(units, units):
                return request, selection
            await self._selector.release(selection.reservation_id)
            units = needed_units
            estimated.add(key)

    async def _plan(self, transaction: JobTransaction, select_input: SelectInput) -> _SelectionPlan:
        """What the request of an attempt is made from."""
        steps = await transaction.step_with_inputs(select_input.step_id)
        step = steps[select_input.step_id]
        check_texts(step.task, steps)
        replaced = _ReplacedAttempts(
            rejected=await transaction.execution(select_input.step_id, select_input.rework_of)
            if select_input.rework_of
            else None,
            lost_result=await transaction.execution(select_input.step_id, select_input.repeat_of)
            if select_input.repeat_of
            else None,
        )
        return _SelectionPlan(
            transaction.job,
            step,
            select_input,
            resolved_params(step.task, steps),
            replaced,
            await _remaining_micro_usd(transaction),
        )

    async def _record_selection(
        self, select_input: SelectInput, request: SelectionRequest, selection: Selection, replaced: _ReplacedAttempts
    ) -> SelectionResult:
        async with self._store.transaction(select_input.job.tenant_id, select_input.job.job_id) as transaction:
            existing = await transaction.execution(select_input.step_id, select_input.attempt)
            if existing is not None:
                return SelectionResult(existing.capability.capability_id)
            step = await transaction.step(select_input.step_id)
            if transaction.job.run != select_input.job.run or step.state.ended:
                raise SomaError(Reason.CANCELLED, "the run has ended meanwhile")
            execution = _execution(transaction.job, step, request, selection, replaced)
            await transaction.save_execution(execution)
            step = replace(
                step,
                state=StepState.RUNNING,
                attempts=select_input.attempt,
                capability_id=execution.capability.capability_id,
                message="",
            )
            await self._recorder.record_step_started(transaction, step)
            message = f"{step.step_id}: {execution.capability.capability_id} is chosen. {selection.reason}".strip()
            await self._recorder.add_entry(
                transaction, TimelineEntry(EventType.SELECTION, shorten(message), step, execution)
            )
        if select_input.fallback_code:
            self._meter.fallback(execution.modality, select_input.fallback_code)
        if replaced.rejected is not None and replaced.lost_result is None:
            feedback = replaced.rejected.feedback
            self._meter.rework(execution.modality, feedback[0].code if feedback else "QUALITY")
        return SelectionResult(execution.capability.capability_id)


def _rejection_message(error: SomaError) -> str:
    """Why nothing could be chosen, with what was said of each capability."""
    causes = "; ".join(f"{cause.subject}: {cause.description}" for cause in error.preconditions)
    return f"{error.message} ({shorten(causes, _CAUSES_CHARS)})" if causes else error.message


async def _remaining_micro_usd(transaction: JobTransaction) -> int:
    """What the plan's cap leaves, in millionths of a US dollar; 0 without a cap.

    What is reserved for attempts that have not ended counts as spent. A cap that is used up leaves one millionth, so
    that free capabilities may still be chosen.
    """
    cost_cap = transaction.job.options.max_cost_micro_usd
    return max(cost_cap - await transaction.committed_micro_usd(), _CAP_USED_UP_MICRO_USD) if cost_cap else 0


def _execution(
    job: Job, step: Step, request: SelectionRequest, selection: Selection, replaced: _ReplacedAttempts
) -> Execution:
    rejected, lost_result = replaced.rejected, replaced.lost_result
    key = derive(job.job_id, step.step_id, str(request.attempt))
    if lost_result is not None and lost_result.capability.capability_id == selection.capability.capability_id:
        key = lost_result.idempotency_key
    return Execution(
        execution_id=derive(job.job_id, step.step_id, str(request.attempt), "execution"),
        job_id=job.job_id,
        step_id=step.step_id,
        step_index=step.task.index,
        attempt=request.attempt,
        step_type=step.task.step_type.value,
        modality=step.task.modality,
        capability=selection.capability,
        selection_id=selection.selection_id,
        idempotency_key=key,
        reservation_id=selection.reservation_id,
        reserved_micro_usd=selection.reserved_micro_usd,
        fallback_reason=request.fallback_reason,
        rework_reason=_rework_reason(rejected),
        rework_of=rejected.attempt if rejected else 0,
        trace_id=job.trace_id,
        settled=not selection.reservation_id,
    )


def _rework_reason(rejected: Execution | None) -> str:
    if rejected is None:
        return ""
    return feedback_summary(rejected.feedback) or "the result was below the quality bar"
