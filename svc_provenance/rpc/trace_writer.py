"""Decision Traces as messages: the documents of a job's facts where the joined story names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.rpc.bounded import ANSWER_BYTES, OMITTED
from mesh.rpc.enums import EnumCodec
from mesh.rpc.wellknown import timestamp
from soma.assets.v1.asset_pb2 import Asset
from soma.critic.v1.critic_service_pb2 import Evaluation
from soma.executor.v1.job_pb2 import Execution, Job, StepState
from soma.provenance.v1 import trace_service_pb2 as pb
from soma.selector.v1 import selection_pb2
from svc_provenance.app.watch import TraceSnapshot
from svc_provenance.domain.model import Kind
from svc_provenance.domain.trace import documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.message import Message

    from svc_provenance.domain.model import Fact
    from svc_provenance.domain.trace import AttemptTrace, StepTrace, Times, Totals, Trace

_KINDS = EnumCodec(pb.TraceAttemptKind)
_STEP_STATES = EnumCodec(StepState)


def trace_message(job_id: str, trace: Trace, facts: Sequence[Fact]) -> pb.DecisionTrace:
    """The message of a trace, joined from these facts."""
    return _Writer(facts).trace(job_id, trace)


def snapshot(job_id: str, trace: Trace, facts: Sequence[Fact]) -> TraceSnapshot:
    """A trace in the parts that its watchers get one by one, and whole."""
    whole = trace_message(job_id, trace, facts)
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
            degradation_level=trace.degradation,
            path=trace.path,
            confidence=trace.confidence,
            step_ids=[step.note.step_id for step in trace.steps],
        )
        job = documents(self._facts, Kind.JOB).get(job_id)
        if job is not None:
            proto.job.ParseFromString(job)
            proto.job.ClearField("steps")
        else:
            proto.job.CopyFrom(Job(job_id=job_id))
        return proto

    def _step(self, step: StepTrace) -> pb.TraceStep:
        return pb.TraceStep(
            step_id=step.note.step_id,
            step_type=step.note.step_type,
            state=_STEP_STATES.number(step.note.state),
            attempts=[self._attempt(attempt) for attempt in step.attempts],
            story=step.story,
        )

    def _attempt(self, story: AttemptTrace) -> pb.TraceAttempt:
        proto = pb.TraceAttempt(
            attempt=story.attempt,
            assets=[Asset.FromString(self._assets[id_]) for id_ in story.asset_ids],
            kind=_KINDS.number(story.kind.name),
            cause=story.cause,
            cost=pb.TraceCost(
                reserved_micro_usd=story.costs.reserved_micro_usd,
                settled_micro_usd=story.costs.settled_micro_usd,
                evaluation_micro_usd=story.costs.evaluation_micro_usd,
            ),
            times=_times(story.times),
            trace_id=story.trace_id,
            span_id=story.span_id,
        )
        if story.selection_id in self._selections:
            proto.selection.ParseFromString(self._selections[story.selection_id])
            self._bound_asked(proto.selection)
            proto.policy_verdicts.extend(_verdicts(proto.selection))
        if story.execution_id in self._executions:
            proto.execution.CopyFrom(Execution.FromString(self._executions[story.execution_id]))
            self._bound_params(proto.execution)
        if story.evaluation_id in self._evaluations:
            proto.evaluation.CopyFrom(Evaluation.FromString(self._evaluations[story.evaluation_id]))
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


def _times(times: Times) -> pb.TraceTimes:
    return pb.TraceTimes(
        queue_ms=times.queue_ms,
        selection_us=times.selection_us,
        provider_ms=times.provider_ms,
        evaluation_ms=times.evaluation_ms,
        mesh_ms=times.mesh_ms,
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
