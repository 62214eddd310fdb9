"""Between the protos and the domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mesh.errors import invalid
from mesh.rpc.wellknown import duration, json_object, moment, seconds_of, struct, timestamp
from soma.common.v1 import modality_pb2
from soma.registry.v1 import capability_pb2, ladder_pb2
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
    Resources,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper


def _pairs(wrapper: _EnumTypeWrapper[Any], prefix: str, members: type[StrEnum]) -> dict[int, StrEnum]:
    return {wrapper.Value(prefix + member.name): member for member in members}


_MODALITY = _pairs(modality_pb2.Modality, "MODALITY_", Modality)
_KIND = _pairs(capability_pb2.CapabilityKind, "CAPABILITY_KIND_", Kind)
_TIER = _pairs(capability_pb2.CostTier, "COST_TIER_", CostTier)
_UNIT = _pairs(capability_pb2.PriceUnit, "PRICE_UNIT_", PriceUnit)
_LIFECYCLE = _pairs(capability_pb2.Lifecycle, "LIFECYCLE_", Lifecycle)
_HEALTH = _pairs(capability_pb2.HealthState, "HEALTH_STATE_", HealthState)


def _number(table: Mapping[int, StrEnum], member: StrEnum) -> Any:  # noqa: ANN401 - each enum has a type of its own
    return next(number for number, known in table.items() if known is member)


def _member(table: Mapping[int, StrEnum], number: int, field: str) -> StrEnum:
    if number not in table:
        raise invalid(field, f"must be one of {', '.join(member.name for member in table.values())}")
    return table[number]


def modality_from(number: int, field: str = "modality") -> Modality:
    """A modality; INVALID_ARGUMENT naming the field when the number is none."""
    return Modality(_member(_MODALITY, number, field))


def kind_from(number: int) -> Kind | None:
    """A kind, None when unspecified."""
    return Kind(_member(_KIND, number, "kind")) if number else None


def health_state_from(number: int) -> HealthState | None:
    """A health state, None when unspecified."""
    return HealthState(_member(_HEALTH, number, "health_state")) if number else None


def capability_from(proto: capability_pb2.Capability) -> Capability:
    """A capability as offered; health and times of the message are not taken over."""
    return Capability(
        tool_id=proto.tool_id,
        provider=proto.provider,
        kind=kind_from(proto.kind) or Kind.TOOL,
        modalities=tuple(modality_from(number, "capability.modalities") for number in proto.modalities),
        task_types=tuple(proto.task_types),
        adapter=proto.adapter or proto.tool_id.replace("-", "_").replace(".", "_"),
        display_name=proto.display_name,
        description=proto.description,
        input_schema=json_object(proto.input_schema),
        output_schema=json_object(proto.output_schema),
        constraints=_constraints_from(proto.constraints),
        cost_tier=CostTier(_member(_TIER, proto.cost_tier, "capability.cost_tier")),
        price_list=PriceList(
            proto.price_list.version,
            moment(proto.price_list.effective_time, "capability.price_list.effective_time"),
            tuple(_price_from(price) for price in proto.price_list.prices),
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
        lifecycle=Lifecycle(_member(_LIFECYCLE, proto.lifecycle, "capability.lifecycle"))
        if proto.lifecycle
        else Lifecycle.ACTIVE,
        version=proto.version,
    )


def _lifecycle_from(number: int) -> Lifecycle:
    return Lifecycle(_member(_LIFECYCLE, number, "capability.lifecycle")) if number else Lifecycle.ACTIVE


def _price_from(proto: capability_pb2.Price) -> Price:
    unit = PriceUnit(_member(_UNIT, proto.unit, "capability.price_list.prices.unit"))
    for name in ("micro_usd", "micro_usd_per_million"):
        if getattr(proto, name) < 0:
            raise invalid(f"capability.price_list.prices.{name}", "must not be negative")
    return Price(unit, proto.micro_usd, proto.micro_usd_per_million)


def _constraints_from(proto: capability_pb2.Constraints) -> Constraints:
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


def capability_to_proto(item: Capability) -> capability_pb2.Capability:
    """The message of a capability; a deleted one cannot be chosen, whatever its lifecycle was."""
    return capability_pb2.Capability(
        capability_id=item.capability_id,
        tool_id=item.tool_id,
        provider=item.provider,
        adapter=item.adapter,
        kind=_number(_KIND, item.kind),
        display_name=item.display_name,
        description=item.description,
        modalities=[_number(_MODALITY, member) for member in item.modalities],
        task_types=item.task_types,
        input_schema=struct(item.input_schema or None),
        output_schema=struct(item.output_schema or None),
        constraints=_constraints_to(item.constraints),
        cost_tier=_number(_TIER, item.cost_tier),
        price_list=_prices_to(item.price_list),
        resources=capability_pb2.ResourceProfile(
            cpu_millis=item.resources.cpu_millis, memory_mib=item.resources.memory_mib, gpus=item.resources.gpus
        ),
        data_classifications=item.data_classifications,
        allow=capability_pb2.AllowLists(
            tenants=item.allow.tenants,
            roles=item.allow.roles,
            personas=item.allow.personas,
            capsules=item.allow.capsules,
        ),
        default_parameters=struct(item.default_parameters or None),
        asset_defaults=capability_pb2.AssetDefaults(
            asset_type=item.asset_defaults.asset_type, format=item.asset_defaults.format
        ),
        tags=item.tags,
        model=item.model,
        endpoint=item.endpoint,
        credential_path=item.credential_path,
        license=item.license,
        lifecycle=_number(_LIFECYCLE, Lifecycle.DISABLED if item.deleted_at else item.lifecycle),
        health=_health_to(item.health),
        expected_latency=duration(item.expected_latency_ms / 1000),
        version=item.version,
        create_time=timestamp(item.created_at),
        update_time=timestamp(item.updated_at),
        owner_tenant_id=item.tenant_id,
        delete_time=timestamp(item.deleted_at),
    )


def _constraints_to(item: Constraints) -> capability_pb2.Constraints:
    return capability_pb2.Constraints(
        formats=item.formats,
        max_width_px=item.max_width_px,
        max_height_px=item.max_height_px,
        max_prompt_chars=item.max_prompt_chars,
        context_window_tokens=item.context_window_tokens,
        needs_egress=item.needs_egress,
        source_languages=item.source_languages,
        max_duration=duration(item.max_duration_s),
    )


def _prices_to(item: PriceList) -> capability_pb2.PriceList:
    prices = [
        capability_pb2.Price(
            unit=_number(_UNIT, price.unit),
            micro_usd=price.micro_usd,
            micro_usd_per_million=price.micro_usd_per_million,
        )
        for price in item.prices
    ]
    return capability_pb2.PriceList(version=item.version, effective_time=timestamp(item.effective_at), prices=prices)


def _health_to(item: Health) -> capability_pb2.Health:
    return capability_pb2.Health(
        state=_number(_HEALTH, item.state),
        failure_count=item.failure_count,
        check_time=timestamp(item.checked_at),
        reason=item.reason,
        circuit_open=item.circuit_open,
        version=item.version,
    )


def ladder_from(proto: ladder_pb2.Ladder) -> Ladder:
    """A ladder as offered."""
    key = LadderKey(modality_from(proto.modality), proto.task_type)
    return Ladder(key, tuple(proto.capability_ids), version=proto.version)


def ladder_to_proto(item: Ladder) -> ladder_pb2.Ladder:
    """The message of a ladder."""
    return ladder_pb2.Ladder(
        modality=_number(_MODALITY, item.key.modality),
        task_type=item.key.task_type,
        capability_ids=item.capability_ids,
        version=item.version,
        tenant_override=bool(item.tenant_id),
        updated_by=item.updated_by,
        update_time=timestamp(item.updated_at),
    )
