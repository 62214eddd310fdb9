"""Has the result of an attempt evaluated by the critic."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from mesh.ids import derive
from svc_executor.app.recorder import TimelineEntry
from svc_executor.domain.job import ExecutionStatus
from svc_executor.domain.peers import EvaluationRequest
from svc_executor.domain.prompts import expected_labels_of, feedback_summary, requested_text
from svc_executor.domain.run import AttemptInput, EvaluationResult
from svc_executor.domain.selection_requests import min_width_px
from svc_executor.domain.timeline import EventType

if TYPE_CHECKING:
    from svc_executor.app.ports import Critic, JobStore, JobTransaction
    from svc_executor.app.recorder import Recorder
    from svc_executor.domain.job import Execution, SelectedCapability, Step
    from svc_executor.domain.peers import Evaluation

_log = logging.getLogger(__name__)

_ASSET_REASONS = frozenset({Reason.FAILED_PRECONDITION, Reason.PAYLOAD_TOO_LARGE, Reason.UNSUPPORTED_MEDIA_TYPE})
_ASSET = "asset"


class EvaluateAttempt:
    """Asks the critic, and accepts the result or sends it back.

    A result that the critic cannot judge for what it is gets accepted without a score, and the timeline says so. Any
    other error leaves it unaccepted: the critic might judge it, and did not.
    """

    def __init__(self, store: JobStore, critic: Critic, recorder: Recorder) -> None:
        self._store = store
        self._critic = critic
        self._recorder = recorder

    async def __call__(self, request: AttemptInput) -> EvaluationResult:
        """The result of the evaluation; a recorded one is returned again.

        Raises the critic's error unless it is about the asset: final ones, such as PERMISSION_DENIED, end the step.
        """
        async with self._store.transaction(request.job.tenant_id, request.job.job_id) as transaction:
            execution = await transaction.execution(request.step_id, request.attempt)
            step = await transaction.step(request.step_id)
            if execution is None:
                raise KeyError(f"attempt {request.attempt} of {request.step_id} was never started")
            if execution.status is ExecutionStatus.REJECTED or step.accepted_attempt == request.attempt:
                return await _evaluation_result(transaction, execution)
        evaluation, failure = await self._evaluate(step, execution)
        return await self._record(request, evaluation, failure)

    async def _evaluate(self, step: Step, execution: Execution) -> tuple[Evaluation | None, str]:
        evaluation_request = EvaluationRequest(
            asset_id=execution.asset_ids[0],
            request_id=derive(execution.idempotency_key, "evaluate"),
            job_id=execution.job_id,
            step_id=execution.step_id,
            execution_id=execution.execution_id,
            tool_id=_counted_tool(execution.capability),
            request=requested_text(execution.params),
            expected_labels=expected_labels_of(execution.params),
            rubric=step.task.rubric,
            min_width_px=min_width_px(step.task),
        )
        try:
            return await self._critic.evaluate(evaluation_request), ""
        except SomaError as error:
            if error.status_mapping.retryable:
                raise
            if not _is_about_asset(error):
                text = f"the critic did not judge the result of attempt {execution.attempt}: {error.message}"
                raise SomaError(error.reason, text, metadata=error.metadata) from error
            _log.warning("the critic cannot judge an asset of %s: %s", execution.capability.tool_id, error.reason.value)
            return None, error.message

    async def _record(self, request: AttemptInput, evaluation: Evaluation | None, failure: str) -> EvaluationResult:
        async with self._store.transaction(request.job.tenant_id, request.job.job_id) as transaction:
            execution = await transaction.execution(request.step_id, request.attempt)
            step = await transaction.step(request.step_id)
            if execution is None or execution.reported:
                return (
                    EvaluationResult(passes=False)
                    if execution is None
                    else await _evaluation_result(transaction, execution)
                )
            evaluated = _with_evaluation(execution, evaluation)
            await transaction.save_execution(evaluated)
            message = _timeline_message(evaluated, evaluation, failure)
            await self._recorder.add_entry(
                transaction, TimelineEntry(EventType.EVALUATION, message, step, evaluated, evaluated.asset_ids[:1])
            )
            evaluated = await self._recorder.publish_end(transaction, evaluated)
            if evaluated.status is ExecutionStatus.SUCCEEDED:
                await self._recorder.record_accepted(transaction, evaluated)
            return await _evaluation_result(transaction, evaluated)


def _is_about_asset(error: SomaError) -> bool:
    """Whether the asset cannot be evaluated: gone, too large, of a type without evaluator, with nothing to measure."""
    return error.reason in _ASSET_REASONS or (error.reason is Reason.NOT_FOUND and error.metadata.get("kind") == _ASSET)


def _with_evaluation(execution: Execution, evaluation: Evaluation | None) -> Execution:
    if evaluation is None:
        return execution
    return replace(
        execution,
        status=ExecutionStatus.SUCCEEDED if evaluation.passes else ExecutionStatus.REJECTED,
        quality_score=evaluation.score,
        evaluation_id=evaluation.evaluation_id,
        feedback=evaluation.feedback,
    )


def _timeline_message(execution: Execution, evaluation: Evaluation | None, failure: str) -> str:
    if evaluation is None:
        return f"{execution.step_id}: could not be judged and is accepted as it is: {failure}"
    outcome = "good enough" if evaluation.passes else "sent back"
    problems = feedback_summary(evaluation.feedback)
    return f"{execution.step_id}: {outcome}, score {evaluation.score:.2f}{'; ' * bool(problems)}{problems}"


async def _evaluation_result(transaction: JobTransaction, execution: Execution) -> EvaluationResult:
    if execution.status is not ExecutionStatus.REJECTED:
        return EvaluationResult(passes=True)
    problems = feedback_summary(execution.feedback) or "below the quality bar"
    before = await transaction.execution(execution.step_id, execution.rework_of) if execution.rework_of else None
    # The same bytes are the same asset.
    if before is None or before.asset_ids != execution.asset_ids:
        return EvaluationResult(passes=False, message=problems)
    return EvaluationResult(passes=False, message=f"the same result again; {problems}", repeated=True)


def _counted_tool(capability: SelectedCapability) -> str:
    """Returns the tool that quality is counted under; "" for a tenant's own, of which there may be any number."""
    return "" if capability.owner_tenant_id else capability.tool_id
