"""What is answered and stored of a decision, and what others are told."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from mesh.events.event import Event
from mesh.events.topics import facts_of
from mesh.ids import derive
from mesh.rpc.enums import EnumCodec
from mesh.rpc.wellknown import struct, timestamp
from soma.events.v1 import facts_pb2
from soma.gateway.v1 import health_service_pb2
from soma.registry.v1 import capability_pb2, capability_service_pb2
from soma.selector.v1 import selection_pb2
from svc_selector.domain.model import Health, Lifecycle
from svc_selector.rpc.convert import modality_number, tier_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mesh.degradation import DegradationLevel
    from svc_selector.domain.decision import Decision, JudgementResult, Ranked, Rejection
    from svc_selector.domain.model import SelectionRequest

SOURCES = EnumCodec(selection_pb2.DecisionSource)
HEALTH_STATES = EnumCodec(capability_pb2.HealthState)
JUDGEMENTS = EnumCodec(selection_pb2.Judgement)
_LEVELS = EnumCodec(health_service_pb2.DegradationLevel)
TOPIC = facts_of("selector")
MAX_EVENT_BYTES = 512 << 10
"""Bytes of selections that are told in one event."""
_TRACE_ID = slice(3, 35)
"""Where a W3C traceparent holds the id of the trace."""


class SelectionFacts:
    """What is answered and stored of a decision, and what others are told.

    What follows from the judgements alone is kept beside them, serialised: the serialised parts of a message joined are
    the message with all of them. A decision is both answered and stored, so its document is kept as long as it is.
    """

    def __init__(self) -> None:
        self._cache: WeakKeyDictionary[JudgementResult, bytes] = WeakKeyDictionary()
        self._documents: WeakKeyDictionary[Decision, bytes] = WeakKeyDictionary()

    def message(self, decision: Decision) -> selection_pb2.Selection:
        """The Selection of a decision."""
        return selection_pb2.Selection.FromString(self.document(decision))

    def document(self, decision: Decision) -> bytes:
        """The serialised Selection of a decision."""
        document = self._documents.get(decision)
        if document is None:
            document = self._shared_part(decision) + _own_part(decision).SerializeToString()
            self._documents[decision] = document
        return document

    def events(self, decisions: Sequence[Decision]) -> list[Event]:
        """SelectionMade of each that was made for a job, in order within it; SelectionsMade of each tenant's others.

        What a job did is told choice by choice. The others may be hundreds a second, and one event for each would cost
        more than the choice itself.
        """
        events: list[Event] = []
        others: dict[str, list[Decision]] = {}
        for decision in decisions:
            subject = decision.subject
            if subject.job_id:
                made = facts_pb2.SelectionMade()
                made.selection.MergeFromString(self.document(decision))
                events.append(_event(made, decision, subject.job_id))
            else:
                others.setdefault(subject.tenant_id, []).append(decision)
        for tenant_id, group in others.items():
            for part in self._parts(group):
                together = facts_pb2.SelectionsMade()
                for decision in part:
                    together.selections.add().MergeFromString(self.document(decision))
                events.append(_event(together, part[0], tenant_id))
        return events

    def _parts(self, decisions: Sequence[Decision]) -> Iterator[list[Decision]]:
        """The same in parts that fit into an event."""
        part: list[Decision] = []
        size = 0
        for decision in decisions:
            size += len(self.document(decision))
            if part and size > MAX_EVENT_BYTES:
                yield part
                part, size = [], len(self.document(decision))
            part.append(decision)
        yield part

    def _shared_part(self, decision: Decision) -> bytes:
        judged = decision.judged
        if judged is None:
            return _judged_to(decision).SerializeToString()
        cached = self._cache.get(judged)
        if cached is None:
            cached = self._cache[judged] = _judged_to(decision).SerializeToString()
        return cached


def _event(fact: facts_pb2.SelectionMade | facts_pb2.SelectionsMade, first: Decision, key: str) -> Event:
    return Event(
        event_id=derive("selection.made", first.selection_id),
        type=fact.DESCRIPTOR.full_name,
        topic=TOPIC,
        key=key,
        tenant_id=first.subject.tenant_id,
        occurred_at=first.decided_at,
        payload=fact.SerializeToString(),
        correlation_id=key,
    )


def _judged_to(decision: Decision) -> selection_pb2.Selection:
    """What equal requests get alike."""
    selection_request = decision.selection_request
    proto = selection_pb2.Selection(
        ranked=[_ranked_to(item) for item in decision.ranked],
        rejected=[_rejection_to(item) for item in decision.rejected],
        source=SOURCES.number(decision.source.name),
        reason=decision.reason,
        policy_id=decision.policy_id,
        ladder_version=decision.ladder_version,
        ranker=selection_pb2.RankerView(mode="off"),
        basis=_basis_to(decision),
        requirements=_requirements_to(selection_request),
        max_cost_tier=tier_number(selection_request.max_cost_tier),
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
        proto.chosen.ParseFromString(decision.chosen.document)
    return proto


def _own_part(decision: Decision) -> selection_pb2.Selection:
    """What is of this one decision."""
    subject = decision.subject
    proto = selection_pb2.Selection(
        selection_id=decision.selection_id,
        degradation_level=decision.degradation_level.name,
        degradation=_LEVELS.number(_level_name(decision.degradation_level)),
        stale_since=timestamp(decision.stale_since),
        subject_context=selection_pb2.SubjectContext(
            persona=subject.persona,
            capsule=subject.capsule,
            data_classification=subject.classification,
            session_id=subject.session_id,
            job_id=subject.job_id,
            step_id=subject.step_id,
            attempt=subject.attempt,
        ),
        create_time=timestamp(decision.decided_at),
        dry_run=decision.selection_request.dry_run,
        elapsed_us=decision.elapsed_us,
        subject=subject.subject,
        actor=decision.actor,
        requested_data_classification=subject.requested_classification,
        trace_id=decision.traceparent[_TRACE_ID],
    )
    reservation = decision.reservation
    if reservation is not None:
        budget = selection_pb2.BudgetView(
            reservation_id=reservation.reservation_id,
            reserved_micro_usd=reservation.amount_micro_usd,
            remaining_micro_usd=reservation.remaining_micro_usd,
            expire_time=timestamp(reservation.expires_at),
        )
        proto.budget.CopyFrom(budget)
    return proto


def _ranked_to(item: Ranked) -> selection_pb2.Ranked:
    return selection_pb2.Ranked(
        capability_id=item.candidate.capability_id,
        rank=item.rank,
        ladder_position=item.ladder_position,
        health=HEALTH_STATES.number(item.candidate.health.name),
        estimated_cost_micro_usd=item.cost_micro_usd,
        reason=item.reason,
        health_reason=item.candidate.health_reason,
    )


def _basis_to(decision: Decision) -> selection_pb2.SelectionBasis:
    """Why the first of the ranked was chosen, as data."""
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


def _level_name(level: DegradationLevel) -> str:
    return level.name if level else ""


def _rejection_to(item: Rejection) -> selection_pb2.Rejection:
    return selection_pb2.Rejection(
        capability_id=item.capability_id,
        judgement=JUDGEMENTS.number(item.judgement.name),
        code=item.code,
        reason=item.reason,
        needed=item.needed,
        limit=item.limit,
        estimated_cost_micro_usd=item.cost_micro_usd,
    )


def _requirements_to(selection_request: SelectionRequest) -> capability_service_pb2.Requirements:
    requirements = selection_request.requirements
    return capability_service_pb2.Requirements(
        modality=modality_number(requirements.modality),
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
