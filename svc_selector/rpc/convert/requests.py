"""Requests for a selection, and on whose behalf they are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.redaction import Redactor
from mesh.rpc.access import check_job_fields
from mesh.rpc.request_keys import request_key
from svc_selector.domain.model import Requirements, SelectionRequest, Subject, Units
from svc_selector.rpc.convert.enums import cost_tier_from_proto, modality_from_proto
from svc_selector.rpc.convert.params import params_from_proto

if TYPE_CHECKING:
    from mesh.context import Caller
    from soma.registry.v1 import capability_service_pb2
    from soma.selector.v1 import selection_pb2
    from svc_selector.domain.model import JsonObject


async def selection_request_from_proto(request: selection_pb2.SelectRequest) -> SelectionRequest:
    """Returns the request of the use case. INVALID_ARGUMENT for parameters that are no JSON."""
    units = request.estimated_units
    params = await params_from_proto(request.requirements)
    return SelectionRequest(
        requirements=_requirements_from_proto(request.requirements, params.value if params else None),
        units=Units(units.calls or 1, units.images, units.seconds, units.input_tokens, units.output_tokens),
        preferred_provider=request.preference.provider,
        preferred_tool=request.preference.tool_id,
        exclude=tuple(request.exclude),
        fallback_reason=Redactor().text(request.fallback_reason),
        force=request.force,
        max_cost_micro_usd=request.max_cost_micro_usd,
        dry_run=request.dry_run,
        key=await request_key(request),
        stored_params=params.stored if params else None,
        max_cost_tier=cost_tier_from_proto(request.max_cost_tier),
    )


async def dry_run_request_from_proto(proto: capability_service_pb2.Requirements) -> SelectionRequest:
    """Returns a dry run for requirements alone. INVALID_ARGUMENT for parameters that are no JSON."""
    params = await params_from_proto(proto)
    return SelectionRequest(
        requirements=_requirements_from_proto(proto, params.value if params else None),
        dry_run=True,
        stored_params=params.stored if params else None,
    )


def _requirements_from_proto(proto: capability_service_pb2.Requirements, params: JsonObject | None) -> Requirements:
    return Requirements(
        modality=modality_from_proto(proto.modality),
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


def subject_from_proto(proto: selection_pb2.SubjectContext, caller: Caller) -> Subject:
    """Returns on whose behalf a request is made: tenant, subject and roles come from the verified identity alone.

    INVALID_ARGUMENT when a caller other than a service names a job: the selection appears in the trace of the job.
    """
    check_job_fields(proto, "subject_context", caller)
    return Subject(
        tenant_id=caller.tenant_id,
        subject=caller.subject,
        roles=tuple(caller.roles),
        persona=proto.persona,
        capsule=proto.capsule,
        classification=proto.data_classification or "internal",
        session_id=proto.session_id,
        job_id=proto.job_id,
        step_id=proto.step_id,
        attempt=proto.attempt,
        key_id=caller.key_id,
    )
