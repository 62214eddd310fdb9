"""TraceService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.rpc.wellknown import timestamp
from soma.assets.v1.asset_pb2 import Asset
from soma.critic.v1.critic_service_pb2 import Evaluation
from soma.executor.v1.job_pb2 import Execution, Job, StepState
from soma.provenance.v1 import trace_service_pb2
from soma.provenance.v1.trace_service_pb2_grpc import TraceServiceServicer
from soma.selector.v1.selection_pb2 import Selection
from svc_provenance.domain.model import Kind
from svc_provenance.domain.trace import documents

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc.aio

    from svc_provenance.app.traces import Traces
    from svc_provenance.domain.model import Fact
    from svc_provenance.domain.trace import AttemptStory, StepStory, Trace


class TraceServicer(TraceServiceServicer):
    """Serves Decision Traces."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    async def GetTrace(
        self, request: trace_service_pb2.GetTraceRequest, context: grpc.aio.ServicerContext
    ) -> trace_service_pb2.DecisionTrace:
        """Joins what was decided and done for a job."""
        trace, facts = await self._traces.of(caller().tenant_id, request.id)
        return _Writer(facts).trace(request.id, trace)


class _Writer:
    """Puts the documents of a job's facts where the joined story names them."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self._facts = facts
        self._selections = documents(facts, Kind.SELECTION)
        self._executions = documents(facts, Kind.EXECUTION)
        self._evaluations = documents(facts, Kind.EVALUATION)
        self._assets = documents(facts, Kind.ASSET)

    def trace(self, job_id: str, trace: Trace) -> trace_service_pb2.DecisionTrace:
        """The message of a trace."""
        totals = trace.totals
        proto = trace_service_pb2.DecisionTrace(
            id=job_id,
            steps=[self._step(step) for step in trace.steps],
            totals=trace_service_pb2.TraceTotals(
                attempts=totals.attempts,
                fallbacks=totals.fallbacks,
                reworks=totals.reworks,
                cost_micro_usd=totals.cost_micro_usd,
                provider_ms=totals.provider_ms,
                mean_quality=totals.mean_quality,
            ),
            policy_ids=trace.policy_ids,
            trace_ids=trace.trace_ids,
            complete=trace.complete,
            update_time=timestamp(max(fact.occurred_at for fact in self._facts)),
        )
        job = documents(self._facts, Kind.JOB).get(job_id)
        if job is not None:
            proto.job.ParseFromString(job)
            proto.job.ClearField("steps")
        else:
            proto.job.CopyFrom(Job(job_id=job_id))
        return proto

    def _step(self, step: StepStory) -> trace_service_pb2.TraceStep:
        name = f"STEP_STATE_{step.note.state.upper()}" if step.note.state else "STEP_STATE_UNSPECIFIED"
        return trace_service_pb2.TraceStep(
            step_id=step.note.step_id,
            step_type=step.note.step_type,
            state=StepState.Value(name),
            attempts=[self._attempt(attempt) for attempt in step.attempts],
            story=step.story,
        )

    def _attempt(self, story: AttemptStory) -> trace_service_pb2.TraceAttempt:
        proto = trace_service_pb2.TraceAttempt(
            attempt=story.attempt,
            assets=[Asset.FromString(self._assets[id_]) for id_ in story.asset_ids],
        )
        if story.selection_id in self._selections:
            proto.selection.CopyFrom(Selection.FromString(self._selections[story.selection_id]))
        if story.execution_id in self._executions:
            proto.execution.CopyFrom(Execution.FromString(self._executions[story.execution_id]))
        if story.evaluation_id in self._evaluations:
            proto.evaluation.CopyFrom(Evaluation.FromString(self._evaluations[story.evaluation_id]))
        return proto
