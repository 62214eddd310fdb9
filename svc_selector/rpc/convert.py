"""Between the protos and the domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.events.event import Event
from mesh.ids import derive
from mesh.rpc.wellknown import json_object, struct, timestamp
from soma.common.v1 import modality_pb2
from soma.events.v1 import facts_pb2
from soma.registry.v1 import capability_pb2, capability_service_pb2
from soma.selector.v1 import selection_pb2
from svc_selector.domain.model import Ask, Need, Subject, Units

if TYPE_CHECKING:
    from mesh.context import Caller
    from svc_selector.domain.model import Decision, Ranked, Rejection

TOPIC = "selector.events"


def modality_name(number: modality_pb2.Modality.ValueType) -> str:
    """The domain's name of a modality."""
    return modality_pb2.Modality.Name(number).removeprefix("MODALITY_").lower()


def modality_number(name: str) -> modality_pb2.Modality.ValueType:
    """The message's number of a modality; 0 for ""."""
    return modality_pb2.Modality.Value("MODALITY_" + name.upper()) if name else modality_pb2.MODALITY_UNSPECIFIED


def ask_from(request: selection_pb2.SelectRequest) -> Ask:
    """What is asked for."""
    units = request.estimated_units
    return Ask(
        need=need_from(request.requirements),
        units=Units(units.calls or 1, units.images, units.seconds, units.input_tokens, units.output_tokens),
        preferred_provider=request.preference.provider,
        preferred_tool=request.preference.tool_id,
        exclude=tuple(request.exclude),
        fallback_reason=request.fallback_reason,
        force=request.force,
        max_cost_micro_usd=request.max_cost_micro_usd,
        dry_run=request.dry_run,
        request_id=request.request_id,
    )


def need_from(proto: capability_service_pb2.Requirements) -> Need:
    """What a step needs."""
    return Need(
        modality=modality_name(proto.modality),
        task_type=proto.task_type,
        formats=tuple(proto.formats),
        width_px=proto.width_px,
        height_px=proto.height_px,
        prompt_chars=proto.prompt_chars,
        context_tokens=proto.context_tokens,
        duration_s=proto.duration_seconds,
        source_language=proto.source_language,
        params=json_object(proto.params) if proto.HasField("params") else None,
    )


def _need_to(need: Need) -> capability_service_pb2.Requirements:
    return capability_service_pb2.Requirements(
        modality=modality_number(need.modality),
        task_type=need.task_type,
        formats=need.formats,
        width_px=need.width_px,
        height_px=need.height_px,
        prompt_chars=need.prompt_chars,
        context_tokens=need.context_tokens,
        duration_seconds=need.duration_s,
        source_language=need.source_language,
        params=struct(need.params),
    )


def subject_from(proto: selection_pb2.SubjectContext, who: Caller) -> Subject:
    """On whose behalf: tenant, subject and roles come from the verified identity alone."""
    return Subject(
        tenant_id=who.tenant_id,
        subject=who.subject,
        roles=tuple(who.roles),
        persona=proto.persona,
        capsule=proto.capsule,
        classification=proto.data_classification or "internal",
        session_id=proto.session_id,
        job_id=proto.job_id,
        step_id=proto.step_id,
        attempt=proto.attempt,
    )


def selection_to(decision: Decision) -> selection_pb2.Selection:
    """The message of a decision."""
    ask, subject = decision.ask, decision.subject
    proto = selection_pb2.Selection(
        selection_id=decision.selection_id,
        ranked=[_ranked_to(item) for item in decision.ranked],
        rejected=[_rejection_to(item) for item in decision.rejected],
        source=selection_pb2.DecisionSource.Value("DECISION_SOURCE_" + decision.source.name),
        reason=decision.reason,
        policy_id=decision.policy_id,
        ladder_version=decision.ladder_version,
        ranker=selection_pb2.RankerView(mode="off"),
        degradation_level=decision.degradation_level,
        stale_since=timestamp(decision.stale_since),
        requirements=_need_to(ask.need),
        subject_context=selection_pb2.SubjectContext(
            persona=subject.persona,
            capsule=subject.capsule,
            data_classification=subject.classification,
            session_id=subject.session_id,
            job_id=subject.job_id,
            step_id=subject.step_id,
            attempt=subject.attempt,
        ),
        exclude=ask.exclude,
        fallback_reason=ask.fallback_reason,
        create_time=timestamp(decision.decided_at),
        preference=selection_pb2.Preference(provider=ask.preferred_provider, tool_id=ask.preferred_tool),
        dry_run=ask.dry_run,
        elapsed_us=decision.elapsed_us,
    )
    if decision.chosen is not None:
        proto.chosen.ParseFromString(decision.chosen.document)
    if decision.held is not None:
        proto.budget.reservation_id = decision.held.reservation_id
        proto.budget.reserved_micro_usd = decision.held.amount_micro_usd
        proto.budget.remaining_micro_usd = decision.held.remaining_micro_usd
        proto.budget.expire_time.FromDatetime(decision.held.expires_at)
    return proto


def _ranked_to(item: Ranked) -> selection_pb2.Ranked:
    return selection_pb2.Ranked(
        capability_id=item.offer.capability_id,
        rank=item.rank,
        ladder_position=item.ladder_position,
        health=capability_pb2.HealthState.Value("HEALTH_STATE_" + item.offer.health.name),
        estimated_cost_micro_usd=item.cost_micro_usd,
        reason=item.reason,
    )


def _rejection_to(item: Rejection) -> selection_pb2.Rejection:
    return selection_pb2.Rejection(
        capability_id=item.capability_id,
        judgement=selection_pb2.Judgement.Value("JUDGEMENT_" + item.judgement.name),
        code=item.code,
        reason=item.reason,
    )


class SelectionFacts:
    """What is stored of a decision, and what others are told."""

    def document(self, decision: Decision) -> bytes:
        """The serialised Selection."""
        return selection_to(decision).SerializeToString()

    def event(self, decision: Decision, document: bytes) -> Event:
        """SelectionMade, in order within its job."""
        key = decision.subject.job_id or decision.selection_id
        return Event(
            event_id=derive("selection.made", decision.selection_id),
            type=facts_pb2.SelectionMade.DESCRIPTOR.full_name,
            topic=TOPIC,
            key=key,
            tenant_id=decision.subject.tenant_id,
            occurred_at=decision.decided_at,
            payload=facts_pb2.SelectionMade(selection=selection_pb2.Selection.FromString(document)).SerializeToString(),
            correlation_id=key,
        )
