"""The Selection of a decision, as it is answered, stored and published."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from mesh.rpc.enums import EnumCodec
from mesh.rpc.wellknown import struct, timestamp
from soma.gateway.v1 import health_service_pb2
from soma.registry.v1 import capability_pb2, capability_service_pb2
from soma.selector.v1 import selection_pb2
from svc_selector.domain.model import Health, Lifecycle
from svc_selector.rpc.convert.enums import cost_tier_to_proto, modality_to_proto

if TYPE_CHECKING:
    from mesh.degradation import DegradationLevel
    from svc_selector.domain.decision import BudgetReservation, Decision, RankedCandidate, RankingResult, Rejection
    from svc_selector.domain.model import SelectionRequest, Subject

_SOURCES = EnumCodec(selection_pb2.DecisionSource)
_HEALTH_STATES = EnumCodec(capability_pb2.HealthState)
_STAGES = EnumCodec(selection_pb2.Judgement)
_DEGRADATION_LEVELS = EnumCodec(health_service_pb2.DegradationLevel)
_TRACE_ID = slice(3, 35)
"""Where the trace id stands in a W3C traceparent."""


class SelectionConverter:
    """Converts decisions to Selections, serialised once for the answer, the store and the event.

    The fields that follow from a cached ranking are serialised once for all decisions that share it; concatenated
    serialised parts of a message are the serialised message. Cached bytes are freed with their ranking or decision.
    """

    def __init__(self) -> None:
        self._by_ranking: WeakKeyDictionary[RankingResult, bytes] = WeakKeyDictionary()
        self._by_decision: WeakKeyDictionary[Decision, bytes] = WeakKeyDictionary()

    def to_proto(self, decision: Decision) -> selection_pb2.Selection:
        """Returns the Selection of a decision."""
        return selection_pb2.Selection.FromString(self.to_bytes(decision))

    def to_bytes(self, decision: Decision) -> bytes:
        """Returns the serialised Selection of a decision."""
        serialized = self._by_decision.get(decision)
        if serialized is None:
            serialized = self._ranking_bytes(decision) + _decision_fields_to_proto(decision).SerializeToString()
            self._by_decision[decision] = serialized
        return serialized

    def _ranking_bytes(self, decision: Decision) -> bytes:
        if decision.ranking is None:
            return _ranking_fields_to_proto(decision).SerializeToString()
        serialized = self._by_ranking.get(decision.ranking)
        if serialized is None:
            serialized = _ranking_fields_to_proto(decision).SerializeToString()
            self._by_ranking[decision.ranking] = serialized
        return serialized


def _ranking_fields_to_proto(decision: Decision) -> selection_pb2.Selection:
    """Returns the fields that decisions of one ranking have in common."""
    selection_request = decision.selection_request
    proto = selection_pb2.Selection(
        ranked=[_ranked_to_proto(ranked) for ranked in decision.ranked],
        rejected=[_rejection_to_proto(rejection) for rejection in decision.rejected],
        source=_SOURCES.number(decision.source.name),
        reason=decision.reason,
        policy_id=decision.policy_id,
        ladder_version=decision.ladder_version,
        ranker=selection_pb2.RankerView(mode="off"),
        basis=_basis_to_proto(decision),
        requirements=_requirements_to_proto(selection_request),
        max_cost_tier=cost_tier_to_proto(selection_request.max_cost_tier),
        exclude=selection_request.exclude,
        fallback_reason=selection_request.fallback_reason,
        preference=selection_pb2.Preference(
            provider=selection_request.preferred_provider, tool_id=selection_request.preferred_tool
        ),
    )
    stored = selection_request.stored_params
    if stored is not None and stored.value is None:
        proto.params_omitted.CopyFrom(selection_pb2.OmittedParams(sha256=stored.sha256, size_bytes=stored.size_bytes))
    if decision.chosen is not None:
        proto.chosen.ParseFromString(decision.chosen.serialized)
    return proto


def _decision_fields_to_proto(decision: Decision) -> selection_pb2.Selection:
    """Returns the fields of this decision alone."""
    subject = decision.subject
    proto = selection_pb2.Selection(
        selection_id=decision.selection_id,
        degradation_level=decision.degradation_level.name,
        degradation=_degradation_level_to_proto(decision.degradation_level),
        stale_since=timestamp(decision.stale_since),
        subject_context=_subject_context_to_proto(subject),
        create_time=timestamp(decision.decided_at),
        dry_run=decision.selection_request.dry_run,
        elapsed_us=decision.elapsed_us,
        subject=subject.subject,
        actor=decision.actor,
        requested_data_classification=subject.requested_classification,
        trace_id=decision.traceparent[_TRACE_ID],
    )
    if decision.reservation is not None:
        proto.budget.CopyFrom(_budget_view_to_proto(decision.reservation))
    return proto


def _subject_context_to_proto(subject: Subject) -> selection_pb2.SubjectContext:
    return selection_pb2.SubjectContext(
        persona=subject.persona,
        capsule=subject.capsule,
        data_classification=subject.classification,
        session_id=subject.session_id,
        job_id=subject.job_id,
        step_id=subject.step_id,
        attempt=subject.attempt,
    )


def _budget_view_to_proto(reservation: BudgetReservation) -> selection_pb2.BudgetView:
    return selection_pb2.BudgetView(
        reservation_id=reservation.reservation_id,
        reserved_micro_usd=reservation.amount_micro_usd,
        remaining_micro_usd=reservation.remaining_micro_usd,
        expire_time=timestamp(reservation.expires_at),
    )


def _ranked_to_proto(ranked: RankedCandidate) -> selection_pb2.Ranked:
    return selection_pb2.Ranked(
        capability_id=ranked.candidate.capability_id,
        rank=ranked.rank,
        ladder_position=ranked.ladder_position,
        health=_HEALTH_STATES.number(ranked.candidate.health.name),
        estimated_cost_micro_usd=ranked.cost_micro_usd,
        reason=ranked.reason,
        health_reason=ranked.candidate.health_reason,
    )


def _basis_to_proto(decision: Decision) -> selection_pb2.SelectionBasis:
    """Returns why the first ranked candidate was chosen, as data."""
    basis = selection_pb2.SelectionBasis(
        alternatives=max(0, len(decision.ranked) - 1), rejections=len(decision.rejected)
    )
    if decision.ranked:
        first = decision.ranked[0]
        basis.ladder_position = first.ladder_position
        basis.estimated_cost_micro_usd = first.cost_micro_usd
        basis.forced, basis.preferred = first.forced, first.preferred
        basis.degraded = first.candidate.health is Health.DEGRADED
        basis.deprecated = first.candidate.lifecycle is Lifecycle.DEPRECATED
    return basis


def _degradation_level_to_proto(level: DegradationLevel) -> health_service_pb2.DegradationLevel.ValueType:
    return _DEGRADATION_LEVELS.number(level.name if level else "")


def _rejection_to_proto(rejection: Rejection) -> selection_pb2.Rejection:
    return selection_pb2.Rejection(
        capability_id=rejection.capability_id,
        judgement=_STAGES.number(rejection.stage.name),
        code=rejection.code,
        reason=rejection.reason,
        needed=rejection.needed,
        limit=rejection.limit,
        estimated_cost_micro_usd=rejection.cost_micro_usd,
    )


def _requirements_to_proto(selection_request: SelectionRequest) -> capability_service_pb2.Requirements:
    requirements = selection_request.requirements
    return capability_service_pb2.Requirements(
        modality=modality_to_proto(requirements.modality),
        task_type=requirements.task_type,
        formats=requirements.formats,
        width_px=requirements.width_px,
        height_px=requirements.height_px,
        prompt_chars=requirements.prompt_chars,
        context_tokens=requirements.context_tokens,
        duration_seconds=requirements.duration_s,
        source_language=requirements.source_language,
        params=struct(selection_request.stored_params.value) if selection_request.stored_params else None,
    )
