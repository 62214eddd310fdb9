"""Between the protos and the domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.redaction import Redactor
from mesh.rpc.access import check_job_fields
from mesh.rpc.enums import EnumCodec
from mesh.rpc.request_keys import request_key
from soma.common.v1 import modality_pb2
from soma.registry.v1 import capability_pb2
from svc_selector.domain.model import CostTier, Requirements, SelectionRequest, Subject, Units
from svc_selector.rpc.params import params_from

if TYPE_CHECKING:
    from mesh.context import Caller
    from soma.registry.v1 import capability_service_pb2
    from soma.selector.v1 import selection_pb2
    from svc_selector.domain.model import JsonObject

MODALITIES = EnumCodec(modality_pb2.Modality)
COST_TIERS = EnumCodec(capability_pb2.CostTier)


def modality_name(number: modality_pb2.Modality.ValueType) -> str:
    """The domain's name of a modality."""
    return MODALITIES.name(number).lower()


def modality_number(name: str) -> modality_pb2.Modality.ValueType:
    """The message's number of a modality; 0 for ""."""
    return MODALITIES.number(name)


async def selection_request_from(request: selection_pb2.SelectRequest) -> SelectionRequest:
    """What is asked for. INVALID_ARGUMENT for parameters that are no JSON."""
    units = request.estimated_units
    params = await params_from(request.requirements)
    return SelectionRequest(
        requirements=_requirements_from(request.requirements, params.value if params else None),
        units=Units(units.calls or 1, units.images, units.seconds, units.input_tokens, units.output_tokens),
        preferred_provider=request.preference.provider,
        preferred_tool=request.preference.tool_id,
        exclude=tuple(request.exclude),
        fallback_reason=Redactor().text(request.fallback_reason),
        force=request.force,
        max_cost_micro_usd=request.max_cost_micro_usd,
        dry_run=request.dry_run,
        key=await request_key(request),
        stored_params=params.kept if params else None,
        max_cost_tier=CostTier(COST_TIERS.name(request.max_cost_tier).lower()),
    )


async def dry_run_from(proto: capability_service_pb2.Requirements) -> SelectionRequest:
    """A dry run for requirements alone. INVALID_ARGUMENT for parameters that are no JSON."""
    params = await params_from(proto)
    return SelectionRequest(
        requirements=_requirements_from(proto, params.value if params else None),
        dry_run=True,
        stored_params=params.kept if params else None,
    )


def _requirements_from(proto: capability_service_pb2.Requirements, params: JsonObject | None) -> Requirements:
    return Requirements(
        modality=modality_name(proto.modality),
        task_type=proto.task_type,
        formats=tuple(proto.formats),
        width_px=proto.width_px,
        height_px=proto.height_px,
        prompt_chars=proto.prompt_chars,
        context_tokens=proto.context_tokens,
        duration_s=proto.duration_seconds,
        source_language=proto.source_language,
        params=params,
    )


def tier_number(tier: CostTier) -> capability_pb2.CostTier.ValueType:
    """The message's number of a cost tier."""
    return COST_TIERS.number(tier.value)


def subject_from(proto: selection_pb2.SubjectContext, who: Caller) -> Subject:
    """On whose behalf: tenant, subject and roles come from the verified identity alone.

    INVALID_ARGUMENT for a job that no service names: its selections appear in the job's trace.
    """
    check_job_fields(proto, "subject_context", who)
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
        key_id=who.key_id,
    )
