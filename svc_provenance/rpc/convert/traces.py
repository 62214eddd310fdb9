"""Decision Traces as messages: the documents of a job's facts where the joined story names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.rpc.bounded import ANSWER_BYTES, OMITTED
from mesh.rpc.enums import EnumCodec
from mesh.rpc.wellknown import timestamp
from soma.assets.v1.asset_pb2 import Asset
from soma.executor.v1.job_pb2 import Job, StepState
from soma.provenance.v1 import trace_service_pb2 as pb
from soma.selector.v1 import selection_pb2
from svc_provenance.app.watch import TraceSnapshot
from svc_provenance.domain.model import Kind
from svc_provenance.domain.trace import documents
from svc_provenance.rpc.convert.degradation import degradation_to_proto

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.message import Message

    from soma.executor.v1.job_pb2 import Execution
    from svc_provenance.domain.job_facts import Totals
    from svc_provenance.domain.model import Fact
    from svc_provenance.domain.trace import AttemptTrace, StepTrace, Trace

_KINDS = EnumCodec(pb.TraceAttemptKind)
_STEP_STATES = EnumCodec(StepState)


def trace_to_proto(job_id: str, trace: Trace, facts: Sequence[Fact]) -> pb.DecisionTrace:
    """The message of a trace, joined from these facts."""
    return _Writer(facts).trace(job_id, trace)


def snapshot_to_proto(job_id: str, trace: Trace, facts: Sequence[Fact]) -> TraceSnapshot:
    """A trace in the parts that its watchers get one by one, and whole."""
    whole = trace_to_proto(job_id, trace, facts)
    outline = pb.DecisionTrace()
    outline.CopyFrom(whole)
    outline.ClearField("job")
    outline.ClearField("steps")
    outline.ClearField("totals")
    parts = {"job": pb.TraceEvent(job=whole.job), "outline": pb.TraceEvent(outline=outline)}
    parts |= {f"step {step.step_id}": pb.TraceEvent(step=step) for step in whole.steps}
    parts["totals"] = pb.TraceEvent(totals=whole.totals)
    return TraceSnapshot({name: _bytes(part) for name, part in parts.items()}, _bytes(pb.TraceEvent(trace=whole)))


def _bytes(message: Message) -> bytes:
    """The same bytes for equal messages."""
    return message.SerializeToString(deterministic=True)


class _Writer:
    """Writes one trace. The parameters of its selections and attempts have `ANSWER_BYTES` together."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self._facts = facts
        self._room_for_params = ANSWER_BYTES
        self._selections = documents(facts, Kind.SELECTION)
        self._executions = documents(facts, Kind.EXECUTION)
        self._evaluations = documents(facts, Kind.EVALUATION)
        self._assets = documents(facts, Kind.ASSET)

    def trace(self, job_id: str, trace: Trace) -> pb.DecisionTrace:
        """The message of a trace."""
        proto = pb.DecisionTrace(
            id=job_id,
            steps=[self._step(step) for step in trace.steps],
            totals=_totals(trace.totals),
            policy_ids=trace.policy_ids,
            trace_ids=trace.trace_ids,
            complete=trace.complete,
            update_time=timestamp(max(fact.occurred_at for fact in self._facts)),
            story=trace.story,
            degradation_level=trace.degradation.name if trace.degradation is not None else "",
            degradation=degradation_to_proto(trace.degradation) if trace.degradation is not None else None,
            path=trace.path,
            confidence=trace.confidence,
            step_ids=[each.step.step_id for each in trace.steps],
        )
        job = documents(self._facts, Kind.JOB).get(job_id)
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
        made, selection, evaluation = trace.execution, trace.selection, trace.evaluation
        proto = pb.TraceAttempt(
            attempt=trace.number,
            assets=[Asset.FromString(self._assets[id_]) for id_ in trace.asset_ids],
            kind=_KINDS.number(trace.kind.name),
            cause=trace.cause,
            cost=pb.TraceCost(
                reserved_micro_usd=selection.reserved_micro_usd if selection else 0,
                settled_micro_usd=made.cost_micro_usd if made else 0,
                evaluation_micro_usd=evaluation.cost_micro_usd if evaluation else 0,
            ),
            times=_times(trace),
            trace_id=made.trace_id if made else "",
            span_id=made.span_id if made else "",
        )
        if selection is not None:
            proto.selection.ParseFromString(self._selections[selection.selection_id])
            self._bound_asked(proto.selection)
            proto.policy_verdicts.extend(_verdicts(proto.selection))
        if made is not None:
            proto.execution.ParseFromString(self._executions[made.execution_id])
            self._bound_params(proto.execution)
        if evaluation is not None:
            proto.evaluation.ParseFromString(self._evaluations[evaluation.evaluation_id])
        return proto

    def _bound_asked(self, selection: selection_pb2.Selection) -> None:
        """Put a size in the place of what was asked for where there is no room for it."""
        size = selection.requirements.params.ByteSize()
        if not self._take(size):
            selection.requirements.ClearField("params")
            selection.params_omitted.size_bytes = size

    def _bound_params(self, execution: Execution) -> None:
        size = execution.params.ByteSize()
        if not self._take(size):
            execution.params.Clear()
            execution.params.update({OMITTED: {"size_bytes": size}})

    def _take(self, size: int) -> bool:
        if size > self._room_for_params:
            return False
        self._room_for_params -= size
        return True


def _times(trace: AttemptTrace) -> pb.TraceTimes:
    return pb.TraceTimes(
        queue_ms=trace.queue_ms,
        selection_us=trace.selection.elapsed_us if trace.selection else None,
        provider_ms=trace.execution.latency_ms if trace.execution else None,
        evaluation_ms=trace.evaluation.elapsed_ms if trace.evaluation else None,
        mesh_ms=trace.execution.mesh_ms if trace.execution else None,
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


def _verdicts(selection: selection_pb2.Selection) -> Iterator[pb.TracePolicyVerdict]:
    """What policy said: yes to all that could be chosen and to what only the budget did not bear, no to the others."""
    for ranked in selection.ranked:
        yield _verdict(selection, ranked.capability_id, allowed=True)
    for out in selection.rejected:
        if out.judgement == selection_pb2.JUDGEMENT_BUDGET:
            yield _verdict(selection, out.capability_id, allowed=True)
        elif out.judgement == selection_pb2.JUDGEMENT_POLICY:
            yield _verdict(selection, out.capability_id, code=out.code, reason=out.reason)


def _verdict(
    selection: selection_pb2.Selection, capability_id: str, *, allowed: bool = False, code: str = "", reason: str = ""
) -> pb.TracePolicyVerdict:
    return pb.TracePolicyVerdict(
        policy_id=selection.policy_id, capability_id=capability_id, allowed=allowed, code=code, reason=reason
    )
