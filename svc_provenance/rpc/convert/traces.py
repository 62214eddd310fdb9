"""Converters of Decision Traces, which contain the documents of the entries that they join."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.rpc.enums import EnumCodec
from mesh.rpc.params_truncation import ANSWER_BYTES, OMITTED
from mesh.rpc.wellknown import timestamp
from soma.assets.v1.asset_pb2 import Asset
from soma.executor.v1.job_pb2 import Job, StepState
from soma.provenance.v1 import trace_service_pb2 as pb
from soma.selector.v1 import selection_pb2
from svc_provenance.app.watch import TraceSnapshot
from svc_provenance.domain.model import EntryKind
from svc_provenance.domain.trace import documents_by_id
from svc_provenance.rpc.convert.degradation import degradation_to_proto

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.message import Message

    from soma.executor.v1.job_pb2 import Execution
    from svc_provenance.domain.job_entries import Totals
    from svc_provenance.domain.model import TraceEntry
    from svc_provenance.domain.trace import AttemptTrace, StepTrace, Trace

_KINDS = EnumCodec(pb.TraceAttemptKind)
_STEP_STATES = EnumCodec(StepState)


def trace_to_proto(job_id: str, trace: Trace, entries: Sequence[TraceEntry]) -> pb.DecisionTrace:
    """Returns the message of a trace that was built from these entries."""
    return _TraceConverter(entries).trace(job_id, trace)


def snapshot_to_proto(job_id: str, trace: Trace, entries: Sequence[TraceEntry]) -> TraceSnapshot:
    """Returns a trace in the parts that its watchers get one by one, and as a whole."""
    message = trace_to_proto(job_id, trace, entries)
    outline = pb.DecisionTrace()
    outline.CopyFrom(message)
    outline.ClearField("job")
    outline.ClearField("steps")
    outline.ClearField("totals")
    parts = {"job": pb.TraceEvent(job=message.job), "outline": pb.TraceEvent(outline=outline)}
    parts |= {f"step {step.step_id}": pb.TraceEvent(step=step) for step in message.steps}
    parts["totals"] = pb.TraceEvent(totals=message.totals)
    return TraceSnapshot({name: _bytes(part) for name, part in parts.items()}, _bytes(pb.TraceEvent(trace=message)))


def _bytes(message: Message) -> bytes:
    """Returns the same bytes for equal messages."""
    return message.SerializeToString(deterministic=True)


class _TraceConverter:
    """Converts one trace. The parameters of its selections and attempts have `ANSWER_BYTES` together."""

    def __init__(self, entries: Sequence[TraceEntry]) -> None:
        self._facts = entries
        self._remaining_bytes = ANSWER_BYTES
        self._selections = documents_by_id(entries, EntryKind.SELECTION)
        self._executions = documents_by_id(entries, EntryKind.EXECUTION)
        self._evaluations = documents_by_id(entries, EntryKind.EVALUATION)
        self._assets = documents_by_id(entries, EntryKind.ASSET)

    def trace(self, job_id: str, trace: Trace) -> pb.DecisionTrace:
        """Returns the message of a trace."""
        proto = pb.DecisionTrace(
            id=job_id,
            steps=[self._step(step) for step in trace.steps],
            totals=_totals(trace.totals),
            policy_ids=trace.policy_ids,
            trace_ids=trace.trace_ids,
            complete=trace.complete,
            update_time=timestamp(max(entry.occurred_at for entry in self._facts)),
            story=trace.story,
            degradation_level=trace.degradation.name if trace.degradation is not None else "",
            degradation=degradation_to_proto(trace.degradation) if trace.degradation is not None else None,
            path=trace.path,
            confidence=trace.confidence,
            step_ids=[each.step.step_id for each in trace.steps],
        )
        job = documents_by_id(self._facts, EntryKind.JOB).get(job_id)
        if job is not None:
            proto.job.ParseFromString(job)
            proto.job.ClearField("steps")
            if trace.progress is not None:
                proto.job.progress, proto.job.cost_micro_usd = trace.progress.share, trace.progress.cost_micro_usd
        else:
            proto.job.CopyFrom(Job(job_id=job_id))
        return proto

    def _step(self, trace: StepTrace) -> pb.TraceStep:
        return pb.TraceStep(
            step_id=trace.step.step_id,
            step_type=trace.step.step_type,
            state=_STEP_STATES.number(trace.step.state),
            attempts=[self._attempt(attempt) for attempt in trace.attempts],
            story=trace.story,
        )

    def _attempt(self, trace: AttemptTrace) -> pb.TraceAttempt:
        execution, selection, evaluation = trace.execution, trace.selection, trace.evaluation
        proto = pb.TraceAttempt(
            attempt=trace.number,
            assets=[Asset.FromString(self._assets[id_]) for id_ in trace.asset_ids],
            kind=_KINDS.number(trace.kind.name),
            cause=trace.cause,
            cost=pb.TraceCost(
                reserved_micro_usd=selection.reserved_micro_usd if selection else 0,
                settled_micro_usd=execution.cost_micro_usd if execution else 0,
                evaluation_micro_usd=evaluation.cost_micro_usd if evaluation else 0,
            ),
            times=_times(trace),
            trace_id=execution.trace_id if execution else "",
            span_id=execution.span_id if execution else "",
        )
        if selection is not None:
            proto.selection.ParseFromString(self._selections[selection.selection_id])
            self._bound_requirements(proto.selection)
            proto.policy_verdicts.extend(_policy_verdicts(proto.selection))
        if execution is not None:
            proto.execution.ParseFromString(self._executions[execution.execution_id])
            self._bound_params(proto.execution)
        if evaluation is not None:
            proto.evaluation.ParseFromString(self._evaluations[evaluation.evaluation_id])
        return proto

    def _bound_requirements(self, selection: selection_pb2.Selection) -> None:
        """Replaces the requested parameters by their size where they exceed the remaining bytes."""
        size = selection.requirements.params.ByteSize()
        if not self._reserve(size):
            selection.requirements.ClearField("params")
            selection.params_omitted.size_bytes = size

    def _bound_params(self, execution: Execution) -> None:
        size = execution.params.ByteSize()
        if not self._reserve(size):
            execution.params.Clear()
            execution.params.update({OMITTED: {"size_bytes": size}})

    def _reserve(self, size: int) -> bool:
        if size > self._remaining_bytes:
            return False
        self._remaining_bytes -= size
        return True


def _times(trace: AttemptTrace) -> pb.TraceTimes:
    return pb.TraceTimes(
        queue_ms=trace.queue_ms,
        selection_us=trace.selection.elapsed_us if trace.selection else None,
        provider_ms=trace.execution.latency_ms if trace.execution else None,
        evaluation_ms=trace.evaluation.elapsed_ms if trace.evaluation else None,
        mesh_ms=trace.execution.overhead_ms if trace.execution else None,
    )


def _totals(totals: Totals) -> pb.TraceTotals:
    return pb.TraceTotals(
        attempts=totals.attempts,
        fallbacks=totals.fallbacks,
        reworks=totals.reworks,
        cost_micro_usd=totals.cost_micro_usd,
        provider_ms=totals.provider_ms,
        mean_quality=totals.mean_quality,
        failures=totals.failures,
        reserved_micro_usd=totals.reserved_micro_usd,
        evaluation_micro_usd=totals.evaluation_micro_usd,
        evaluation_ms=totals.evaluation_ms,
        queue_ms=totals.queue_ms,
        elapsed_ms=totals.elapsed_ms,
        policy_denials=totals.policy_denials,
        budget_denials=totals.budget_denials,
    )


def _policy_verdicts(selection: selection_pb2.Selection) -> Iterator[pb.TracePolicyVerdict]:
    """Yields what policy decided: it allowed what was ranked and what only the budget rejected, and denied others."""
    for ranked in selection.ranked:
        yield _policy_verdict(selection, ranked.capability_id, allowed=True)
    for rejection in selection.rejected:
        if rejection.judgement == selection_pb2.JUDGEMENT_BUDGET:
            yield _policy_verdict(selection, rejection.capability_id, allowed=True)
        elif rejection.judgement == selection_pb2.JUDGEMENT_POLICY:
            yield _policy_verdict(selection, rejection.capability_id, code=rejection.code, reason=rejection.reason)


def _policy_verdict(
    selection: selection_pb2.Selection, capability_id: str, *, allowed: bool = False, code: str = "", reason: str = ""
) -> pb.TracePolicyVerdict:
    return pb.TracePolicyVerdict(
        policy_id=selection.policy_id, capability_id=capability_id, allowed=allowed, code=code, reason=reason
    )
