"""The selector."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from mesh.rpc.enums import EnumCodec
from mesh.rpc.wellknown import json_object, struct
from soma.common.v1 import modality_pb2
from soma.registry.v1 import capability_pb2, capability_service_pb2
from soma.selector.v1 import budget_service_pb2, budget_service_pb2_grpc, selection_pb2, selector_service_pb2_grpc
from svc_executor.domain.job import SelectedCapability
from svc_executor.domain.peers import Selection

if TYPE_CHECKING:
    import grpc.aio

    from soma_providers.port import Usage
    from svc_executor.domain.peers import SelectionRequest

_MODALITIES = EnumCodec(modality_pb2.Modality)
_COST_TIERS = EnumCodec(capability_pb2.CostTier)


class SelectorPeer:
    """A `Selector` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._selections = selector_service_pb2_grpc.SelectorServiceStub(channel)
        self._budgets = budget_service_pb2_grpc.BudgetServiceStub(channel)

    async def select(self, request: SelectionRequest) -> Selection:
        answer = await self._selections.Select(_request(request))
        return Selection(
            selection_id=answer.selection_id,
            capability=_selected_capability(answer.chosen),
            reason=answer.reason,
            reservation_id=answer.budget.reservation_id,
            reserved_micro_usd=answer.budget.reserved_micro_usd,
        )

    async def renew(self, reservation_id: str) -> None:
        await self._budgets.RenewReservation(budget_service_pb2.RenewReservationRequest(reservation_id=reservation_id))

    async def settle(self, reservation_id: str, usage: Usage | None) -> int:
        request = budget_service_pb2.SettleReservationRequest(
            reservation_id=reservation_id, usage_unknown=usage is None
        )
        if usage is not None:
            request.usage.CopyFrom(budget_service_pb2.Usage(**_units(usage)))
        return (await self._budgets.SettleReservation(request)).cost_micro_usd

    async def release(self, reservation_id: str) -> None:
        await self._budgets.ReleaseReservation(
            budget_service_pb2.ReleaseReservationRequest(reservation_id=reservation_id)
        )


def _request(request: SelectionRequest) -> selection_pb2.SelectRequest:
    return selection_pb2.SelectRequest(
        requirements=capability_service_pb2.Requirements(
            modality=_MODALITIES.number(request.modality),
            task_type=request.task_type,
            formats=request.formats,
            width_px=request.width_px,
            height_px=request.height_px,
            prompt_chars=request.prompt_chars,
            context_tokens=request.context_tokens,
            duration_seconds=request.duration_s,
            source_language=request.source_language,
            params=struct(request.params),
        ),
        estimated_units=selection_pb2.EstimatedUnits(**_units(request.units)),
        subject_context=selection_pb2.SubjectContext(
            persona=request.persona,
            capsule=request.capsule,
            data_classification=request.data_classification,
            session_id=request.session_id,
            job_id=request.job_id,
            step_id=request.step_id,
            attempt=request.attempt,
        ),
        preference=selection_pb2.Preference(provider=request.preferred_provider, tool_id=request.preferred_tool),
        exclude=request.exclude,
        fallback_reason=request.fallback_reason,
        max_cost_micro_usd=request.max_cost_micro_usd,
        request_id=request.request_id,
        max_cost_tier=_COST_TIERS.number(request.max_cost_tier),
    )


class _Units(TypedDict):
    calls: int
    images: int
    seconds: float
    input_tokens: int
    output_tokens: int


def _units(usage: Usage) -> _Units:
    return {
        "calls": usage.calls,
        "images": usage.images,
        "seconds": usage.seconds,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
    }


def _selected_capability(capability: capability_pb2.Capability) -> SelectedCapability:
    return SelectedCapability(
        capability_id=capability.capability_id,
        tool_id=capability.tool_id,
        provider=capability.provider,
        adapter=capability.adapter or capability.tool_id,
        model=capability.model,
        endpoint=capability.endpoint,
        credential_path=capability.credential_path,
        license=capability.license,
        asset_type=capability.asset_defaults.asset_type,
        format=capability.asset_defaults.format,
        default_parameters=json_object(capability.default_parameters),
        owner_tenant_id=capability.owner_tenant_id,
    )
