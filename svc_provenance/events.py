"""Takes in the facts of the other contexts, redacted before anything is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.rpc.wellknown import json_object, struct
from soma.events.v1 import facts_pb2
from soma.executor.v1 import job_pb2
from svc_provenance.domain.model import (
    AssetFacts,
    Attempt,
    Choice,
    DeadLetter,
    Fact,
    Kind,
    MakingFacts,
    Run,
    StepNote,
    Stored,
    Verdict,
)
from svc_provenance.domain.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message
    from google.protobuf.struct_pb2 import Struct

    from mesh.events.event import Event
    from mesh.events.inbox import DeadLetter as Undeliverable
    from mesh.events.inbox import Handler
    from mesh.ids import Ids
    from soma.executor.v1.job_pb2 import Execution, Job
    from soma.selector.v1.selection_pb2 import Selection
    from svc_provenance.domain.model import Summary, Unit
    from svc_provenance.domain.ports import Record

TOPICS = ("selector.events", "executor.events", "assets.events", "critic.events")
_ENDED = {
    job_pb2.JOB_STATE_COMPLETED,
    job_pb2.JOB_STATE_PARTIAL,
    job_pb2.JOB_STATE_FAILED,
    job_pb2.JOB_STATE_CANCELLED,
}


class Intake:
    """The handlers, by the type of their event."""

    def __init__(self, record: Record, ids: Ids) -> None:
        self._record = record
        self._ids = ids

    def handlers(self) -> Mapping[str, Handler]:
        """Handlers for the consumer."""
        return {
            facts_pb2.SelectionMade.DESCRIPTOR.full_name: self.selection_made,
            facts_pb2.ExecutionFinished.DESCRIPTOR.full_name: self.execution_finished,
            facts_pb2.EvaluationDone.DESCRIPTOR.full_name: self.evaluation_done,
            facts_pb2.AssetStored.DESCRIPTOR.full_name: self.asset_stored,
            facts_pb2.AssetTombstoned.DESCRIPTOR.full_name: self.asset_tombstoned,
            facts_pb2.JobChanged.DESCRIPTOR.full_name: self.job_changed,
        }

    async def selection_made(self, unit: Unit, event: Event) -> None:
        """Keeps a choice of a job."""
        selection = facts_pb2.SelectionMade.FromString(event.payload).selection
        about = selection.subject_context
        if not about.job_id:
            return
        _redact_struct(Redactor(), selection.requirements.params)
        choice = Choice(
            selection_id=selection.selection_id,
            step_id=about.step_id,
            attempt=about.attempt,
            chosen=selection.chosen.capability_id,
            reason=selection.reason,
            fallback_reason=selection.fallback_reason,
            left_out=_left_out(selection),
            policy_id=selection.policy_id,
        )
        await self._keep(unit, event, Kind.SELECTION, (selection.selection_id, about.job_id), choice, selection)

    async def execution_finished(self, unit: Unit, event: Event) -> None:
        """Keeps an attempt, and tells each of its assets how it was made."""
        fact = facts_pb2.ExecutionFinished.FromString(event.payload)
        execution = fact.execution
        redactor = Redactor()
        _redact_struct(redactor, execution.params)
        execution.error_message = redactor.text(execution.error_message)
        making = _making(fact, redactor)
        await self._keep(
            unit, event, Kind.EXECUTION, (execution.execution_id, execution.job_id), _attempt(execution), execution
        )
        for asset_id in execution.asset_ids:
            await self._record.add_making(unit, event.tenant_id, asset_id, making)

    async def evaluation_done(self, unit: Unit, event: Event) -> None:
        """Keeps a verdict."""
        evaluation = facts_pb2.EvaluationDone.FromString(event.payload).evaluation
        redactor = Redactor()
        for criterion in evaluation.criteria:
            criterion.evidence = redactor.text(criterion.evidence)
        for item in evaluation.feedback:
            item.message = redactor.text(item.message)
            _redact_struct(redactor, item.hint)
        verdict = Verdict(
            evaluation_id=evaluation.evaluation_id,
            execution_id=evaluation.execution_id,
            passes=evaluation.passes,
            score=evaluation.score,
            faults=tuple(item.message for item in evaluation.feedback),
        )
        await self._record.add_verdict(unit, event.tenant_id, evaluation.asset_id, verdict)
        if evaluation.job_id:
            ids = (evaluation.evaluation_id, evaluation.job_id)
            await self._keep(unit, event, Kind.EVALUATION, ids, verdict, evaluation)

    async def asset_stored(self, unit: Unit, event: Event) -> None:
        """Keeps what an asset is."""
        asset = facts_pb2.AssetStored.FromString(event.payload).asset
        asset.ClearField("metadata")
        origin = asset.origin
        facts = AssetFacts(
            asset_id=asset.asset_id,
            asset_type=asset.asset_type,
            media_type=asset.media_type,
            checksum=asset.checksum_sha256,
            job_id=origin.job_id,
            step_id=origin.step_id,
            execution_id=origin.execution_id,
            subject=asset.created_by,
            parent_ids=(asset.parent_id,) if asset.parent_id else (),
            created_at=event.occurred_at,
        )
        await self._record.add_asset(unit, event.tenant_id, facts)
        if origin.job_id:
            stored = Stored(asset.asset_id, origin.execution_id)
            await self._keep(unit, event, Kind.ASSET, (asset.asset_id, origin.job_id), stored, asset)

    async def asset_tombstoned(self, unit: Unit, event: Event) -> None:
        """Forgets what an erased asset was made with."""
        asset = facts_pb2.AssetTombstoned.FromString(event.payload).asset
        await self._record.erase(unit, event.tenant_id, asset.asset_id, event.occurred_at)

    async def job_changed(self, unit: Unit, event: Event) -> None:
        """Keeps the newest word of a job."""
        job = facts_pb2.JobChanged.FromString(event.payload).job
        redactor = Redactor()
        job.title = redactor.text(job.title)
        job.message = redactor.text(job.message)
        for step in job.steps:
            step.ClearField("text")
            step.message = redactor.text(step.message)
        await self._keep(unit, event, Kind.JOB, (job.job_id, job.job_id), _run(job), job)

    async def bury(self, unit: Unit, letter: Undeliverable) -> None:
        """Keeps an event that could not be applied."""
        await self._record.bury(
            unit,
            DeadLetter(
                dlq_id=self._ids.new(),
                topic=letter.topic,
                key=letter.key,
                event_id=letter.event_id,
                event_type=letter.event.type if letter.event else "",
                tenant_id=letter.event.tenant_id if letter.event else "",
                cause=letter.cause,
                attempts=letter.attempts,
                payload=letter.value,
            ),
        )

    async def _keep(  # noqa: PLR0917 - a fact and where it belongs
        self, unit: Unit, event: Event, kind: Kind, ids: tuple[str, str], summary: Summary, document: Message
    ) -> None:
        fact_id, job_id = ids
        fact = Fact(kind, fact_id, job_id, event.occurred_at, summary, document.SerializeToString())
        await self._record.add_fact(unit, event.tenant_id, fact)


def _left_out(selection: Selection) -> tuple[str, ...]:
    """The sentences about what was left out for a reason of its own, what merely does something else left aside."""
    told = (item for item in selection.rejected if item.code not in {"TASK_TYPE_MISMATCH", "EXCLUDED"})
    return tuple(f"{item.capability_id}: {item.reason}" for item in told)


def _redact_struct(redactor: Redactor, message: Struct) -> None:
    if message.fields:
        redacted = struct(redactor.object(json_object(message)))
        if redacted is not None:
            message.CopyFrom(redacted)


def _attempt(execution: Execution) -> Attempt:
    status = job_pb2.ExecutionStatus.Name(execution.status).removeprefix("EXECUTION_STATUS_").lower()
    return Attempt(
        execution_id=execution.execution_id,
        step_id=execution.step_id,
        step_type=execution.step_type,
        attempt=execution.attempt,
        capability_id=f"{execution.tool_id}@{execution.provider}",
        status=status,
        selection_id=execution.selection_id,
        evaluation_id=execution.evaluation_id,
        asset_ids=tuple(execution.asset_ids),
        fallback_reason=execution.fallback_reason,
        rework_reason=execution.rework_reason,
        error=f"{execution.error_code}: {execution.error_message}" if execution.error_code else "",
        cost_micro_usd=execution.cost_micro_usd,
        latency_ms=execution.latency_ms,
        quality=execution.quality_score if execution.HasField("quality_score") else None,
        trace_id=execution.trace_id,
    )


def _making(fact: facts_pb2.ExecutionFinished, redactor: Redactor) -> MakingFacts:
    execution = fact.execution
    summary = redactor.summary(fact.prompt)
    return MakingFacts(
        execution_id=execution.execution_id,
        job_id=execution.job_id,
        step_id=execution.step_id,
        attempt=execution.attempt,
        selection_id=execution.selection_id,
        capability_id=f"{execution.tool_id}@{execution.provider}",
        model=execution.model,
        subject=fact.subject,
        parent_ids=tuple(fact.input_asset_ids),
        params=json_object(execution.params),
        prompt_summary=summary,
        redactions=dict(redactor.counts),
        cost_micro_usd=execution.cost_micro_usd,
        latency_ms=execution.latency_ms,
        trace_id=execution.trace_id,
    )


def _run(job: Job) -> Run:
    steps = tuple(
        StepNote(
            step.step_id,
            step.step_type,
            job_pb2.StepState.Name(step.state).removeprefix("STEP_STATE_").lower(),
            step.attempts,
        )
        for step in job.steps
    )
    state = job_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()
    return Run(job.job_id, state, job.state in _ENDED, steps, job.trace_id)
