"""Conversion between the messages and the domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mesh.errors import invalid
from mesh.rpc.wellknown import duration, json_object, moment, seconds_of, struct, timestamp
from soma.common.v1 import modality_pb2
from soma.registry.v1 import capability_pb2, ladder_pb2
from soma.registry.v1 import capability_service_pb2 as pb
from svc_registry.domain import (
    AllowLists,
    AssetDefaults,
    Capability,
    Constraints,
    CostTier,
    Health,
    HealthState,
    Kind,
    Ladder,
    LadderKey,
    Lifecycle,
    Modality,
    Price,
    PriceList,
    PriceUnit,
    Requester,
    Resources,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper

    from svc_registry.app import Change


def _enum_members(enum: _EnumTypeWrapper[Any], prefix: str, members: type[StrEnum]) -> dict[int, StrEnum]:
    return {enum.Value(prefix + member.name): member for member in members}


_MODALITY = _enum_members(modality_pb2.Modality, "MODALITY_", Modality)
_KIND = _enum_members(capability_pb2.CapabilityKind, "CAPABILITY_KIND_", Kind)
_COST_TIER = _enum_members(capability_pb2.CostTier, "COST_TIER_", CostTier)
_PRICE_UNIT = _enum_members(capability_pb2.PriceUnit, "PRICE_UNIT_", PriceUnit)
_LIFECYCLE = _enum_members(capability_pb2.Lifecycle, "LIFECYCLE_", Lifecycle)
_HEALTH_STATE = _enum_members(capability_pb2.HealthState, "HEALTH_STATE_", HealthState)


def _enum_to_proto(members: Mapping[int, StrEnum], member: StrEnum) -> Any:  # noqa: ANN401 - a type for each enum
    return next(number for number, other in members.items() if other is member)


def _enum_from_proto(members: Mapping[int, StrEnum], number: int, field: str) -> StrEnum:
    if number not in members:
        raise invalid(field, f"must be one of {', '.join(member.name for member in members.values())}")
    return members[number]


def modality_from_proto(number: int, field: str = "modality") -> Modality:
    """Returns a modality; INVALID_ARGUMENT, naming the field, for an unknown or unspecified value."""
    return Modality(_enum_from_proto(_MODALITY, number, field))


def kind_from_proto(number: int) -> Kind | None:
    """Returns a kind, None for the unspecified value."""
    return Kind(_enum_from_proto(_KIND, number, "kind")) if number else None


def health_state_from_proto(number: int) -> HealthState | None:
    """Returns a health state, None for the unspecified value."""
    return HealthState(_enum_from_proto(_HEALTH_STATE, number, "health_state")) if number else None


def capability_from_proto(proto: capability_pb2.Capability) -> Capability:
    """Returns a submitted capability; the output-only fields of the message are not read."""
    return Capability(
        tool_id=proto.tool_id,
        provider=proto.provider,
        kind=kind_from_proto(proto.kind) or Kind.TOOL,
        modalities=tuple(modality_from_proto(number, "capability.modalities") for number in proto.modalities),
        task_types=tuple(proto.task_types),
        adapter=proto.adapter or proto.tool_id.replace("-", "_").replace(".", "_"),
        display_name=proto.display_name,
        description=proto.description,
        input_schema=json_object(proto.input_schema),
        output_schema=json_object(proto.output_schema),
        constraints=_constraints_from_proto(proto.constraints),
        cost_tier=CostTier(_enum_from_proto(_COST_TIER, proto.cost_tier, "capability.cost_tier")),
        price_list=PriceList(
            proto.price_list.version,
            moment(proto.price_list.effective_time, "capability.price_list.effective_time"),
            tuple(_price_from_proto(price) for price in proto.price_list.prices),
        ),
        expected_latency_ms=seconds_of(proto.expected_latency) * 1000,
        resources=Resources(proto.resources.cpu_millis, proto.resources.memory_mib, proto.resources.gpus),
        data_classifications=tuple(proto.data_classifications),
        allow=AllowLists(
            tuple(proto.allow.tenants),
            tuple(proto.allow.roles),
            tuple(proto.allow.personas),
            tuple(proto.allow.capsules),
        ),
        default_parameters=json_object(proto.default_parameters),
        asset_defaults=AssetDefaults(proto.asset_defaults.asset_type, proto.asset_defaults.format),
        tags=tuple(proto.tags),
        model=proto.model,
        endpoint=proto.endpoint,
        credential_path=proto.credential_path,
        license=proto.license,
        lifecycle=_lifecycle_from_proto(proto.lifecycle),
        version=proto.version,
    )


def _lifecycle_from_proto(number: int) -> Lifecycle:
    return Lifecycle(_enum_from_proto(_LIFECYCLE, number, "capability.lifecycle")) if number else Lifecycle.ACTIVE


def _price_from_proto(proto: capability_pb2.Price) -> Price:
    unit = PriceUnit(_enum_from_proto(_PRICE_UNIT, proto.unit, "capability.price_list.prices.unit"))
    for name in ("micro_usd", "micro_usd_per_million"):
        if getattr(proto, name) < 0:
            raise invalid(f"capability.price_list.prices.{name}", "must not be negative")
    return Price(unit, proto.micro_usd, proto.micro_usd_per_million)


def _constraints_from_proto(proto: capability_pb2.Constraints) -> Constraints:
    return Constraints(
        formats=tuple(proto.formats),
        max_width_px=proto.max_width_px,
        max_height_px=proto.max_height_px,
        max_prompt_chars=proto.max_prompt_chars,
        context_window_tokens=proto.context_window_tokens,
        max_duration_s=seconds_of(proto.max_duration),
        needs_egress=proto.needs_egress,
        source_languages=tuple(proto.source_languages),
    )


def capability_to_proto(capability: Capability) -> capability_pb2.Capability:
    """Returns the message of a capability; the lifecycle of a deleted one is DISABLED."""
    return capability_pb2.Capability(
        capability_id=capability.capability_id,
        tool_id=capability.tool_id,
        provider=capability.provider,
        adapter=capability.adapter,
        kind=_enum_to_proto(_KIND, capability.kind),
        display_name=capability.display_name,
        description=capability.description,
        modalities=[_enum_to_proto(_MODALITY, member) for member in capability.modalities],
        task_types=capability.task_types,
        input_schema=struct(capability.input_schema or None),
        output_schema=struct(capability.output_schema or None),
        constraints=_constraints_to_proto(capability.constraints),
        cost_tier=_enum_to_proto(_COST_TIER, capability.cost_tier),
        price_list=_price_list_to_proto(capability.price_list),
        resources=capability_pb2.ResourceProfile(
            cpu_millis=capability.resources.cpu_millis,
            memory_mib=capability.resources.memory_mib,
            gpus=capability.resources.gpus,
        ),
        data_classifications=capability.data_classifications,
        allow=capability_pb2.AllowLists(
            tenants=capability.allow.tenants,
            roles=capability.allow.roles,
            personas=capability.allow.personas,
            capsules=capability.allow.capsules,
        ),
        default_parameters=struct(capability.default_parameters or None),
        asset_defaults=capability_pb2.AssetDefaults(
            asset_type=capability.asset_defaults.asset_type, format=capability.asset_defaults.format
        ),
        tags=capability.tags,
        model=capability.model,
        endpoint=capability.endpoint,
        credential_path=capability.credential_path,
        license=capability.license,
        lifecycle=_enum_to_proto(_LIFECYCLE, Lifecycle.DISABLED if capability.deleted_at else capability.lifecycle),
        health=_health_to_proto(capability.health),
        expected_latency=duration(capability.expected_latency_ms / 1000),
        version=capability.version,
        create_time=timestamp(capability.created_at),
        update_time=timestamp(capability.updated_at),
        owner_tenant_id=capability.tenant_id,
        delete_time=timestamp(capability.deleted_at),
    )


def redacted_capability_to_proto(capability: Capability, requester: Requester) -> capability_pb2.Capability:
    """Returns the message of a capability as the requester may read it."""
    return capability_to_proto(capability.redacted_for(requester))


def _constraints_to_proto(constraints: Constraints) -> capability_pb2.Constraints:
    return capability_pb2.Constraints(
        formats=constraints.formats,
        max_width_px=constraints.max_width_px,
        max_height_px=constraints.max_height_px,
        max_prompt_chars=constraints.max_prompt_chars,
        context_window_tokens=constraints.context_window_tokens,
        needs_egress=constraints.needs_egress,
        source_languages=constraints.source_languages,
        max_duration=duration(constraints.max_duration_s),
    )


def _price_list_to_proto(price_list: PriceList) -> capability_pb2.PriceList:
    prices = [
        capability_pb2.Price(
            unit=_enum_to_proto(_PRICE_UNIT, price.unit),
            micro_usd=price.micro_usd,
            micro_usd_per_million=price.micro_usd_per_million,
        )
        for price in price_list.prices
    ]
    return capability_pb2.PriceList(
        version=price_list.version, effective_time=timestamp(price_list.effective_at), prices=prices
    )


def _health_to_proto(health: Health) -> capability_pb2.Health:
    return capability_pb2.Health(
        state=_enum_to_proto(_HEALTH_STATE, health.state),
        failure_count=health.failure_count,
        check_time=timestamp(health.checked_at),
        reason=health.reason,
        circuit_open=health.circuit_open,
        version=health.version,
    )


def ladder_from_proto(proto: ladder_pb2.Ladder) -> Ladder:
    """Returns a submitted ladder; the output-only fields of the message are not read."""
    key = LadderKey(modality_from_proto(proto.modality), proto.task_type)
    return Ladder(key, tuple(proto.capability_ids), version=proto.version)


def ladder_to_proto(ladder: Ladder) -> ladder_pb2.Ladder:
    """Returns the message of a ladder."""
    return ladder_pb2.Ladder(
        modality=_enum_to_proto(_MODALITY, ladder.key.modality),
        task_type=ladder.key.task_type,
        capability_ids=ladder.capability_ids,
        version=ladder.version,
        tenant_override=bool(ladder.tenant_id),
        updated_by=ladder.updated_by,
        update_time=timestamp(ladder.updated_at),
    )


def owned_ladder_to_proto(ladder: Ladder) -> pb.OwnedLadder:
    """Returns the message of a ladder together with its owner."""
    return pb.OwnedLadder(tenant_id=ladder.tenant_id, ladder=ladder_to_proto(ladder))


def change_to_proto(change: Change) -> capability_pb2.Capability | pb.OwnedLadder:
    """Returns the message of the capability or the ladder that changed."""
    if change.ladder is not None:
        return owned_ladder_to_proto(change.ladder)
    if change.capability is None:
        raise ValueError("a change is of a capability or of a ladder")
    return capability_to_proto(change.capability)


def heartbeat_to_proto(resume_token: str) -> pb.WatchCapabilitiesResponse:
    """Returns a heartbeat; it is complete once the snapshot was sent, which the first token shows."""
    return pb.WatchCapabilitiesResponse(complete=bool(resume_token), heartbeat=True, resume_token=resume_token)
