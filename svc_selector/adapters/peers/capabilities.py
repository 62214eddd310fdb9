"""Converts capabilities and ladders of the registry to candidates and ladders of the domain.

The registry may be of a newer version: a capability with an enum value that is unknown here is never chosen, and its
rejection says so; other capabilities are not affected.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mesh.addresses import is_remote
from mesh.json_schema import CompiledSchema, SchemaError, compile_schema
from mesh.logging import get_logger
from mesh.rpc.enums import EnumCodec
from mesh.rpc.wellknown import json_object
from soma.common.v1 import modality_pb2
from soma.registry.v1 import capability_pb2, capability_service_pb2
from svc_selector.domain.model import Candidate, CostTier, Health, Ladder, Lifecycle, Limits, Prices, UnusableReason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from google.protobuf.struct_pb2 import Struct

    from svc_selector.adapters.catalog import LadderKey
    from svc_selector.domain.model import CandidateKey

_MODALITIES = EnumCodec(modality_pb2.Modality)
SCHEMA_UNUSABLE = "SCHEMA_UNUSABLE"
UNSUPPORTED = "UNSUPPORTED"
_NOT_IN_SELECTIONS: tuple[Literal["input_schema", "output_schema", "allow"], ...] = (
    "input_schema",
    "output_schema",
    "allow",
)

_log = get_logger(__name__)
_Compiled = tuple[CompiledSchema | None, UnusableReason | None]


@dataclass(frozen=True)
class CatalogChanges:
    """Candidates that are new or changed, and the keys of deleted ones."""

    candidates: list[Candidate]
    deleted: list[CandidateKey]


class CapabilityReader:
    """Converts capabilities; compiles a schema when it arrives or changes, not when a request needs it."""

    def __init__(self) -> None:
        self._schemas: dict[CandidateKey, tuple[bytes, _Compiled]] = {}

    async def read(self, capabilities: Sequence[capability_pb2.Capability]) -> CatalogChanges:
        """Returns the changes. Schemas are compiled in a thread, since one may take some ms."""
        changes = CatalogChanges([], [])
        for proto in capabilities:
            if proto.HasField("delete_time"):
                changes.deleted.append(_key(proto))
                self._schemas.pop(_key(proto), None)
            else:
                changes.candidates.append(await self._candidate(proto))
            await asyncio.sleep(0)
        return changes

    def retain_only(self, candidates: Sequence[Candidate]) -> None:
        """Drops the schemas of all other candidates."""
        keys = {candidate.key for candidate in candidates}
        self._schemas = {key: compiled for key, compiled in self._schemas.items() if key in keys}

    async def _candidate(self, proto: capability_pb2.Capability) -> Candidate:
        schema, unusable = await self._compiled(_key(proto), proto.input_schema)
        try:
            candidate = candidate_from_proto(proto)
        except (ValueError, TypeError, OverflowError) as error:
            _log.warning("a capability cannot be read", capability_id=proto.capability_id, error=type(error).__name__)
            return _unreadable(proto)
        return replace(candidate, schema=schema, unusable=candidate.unusable or unusable)

    async def _compiled(self, key: CandidateKey, schema: Struct) -> _Compiled:
        if not schema.fields:
            self._schemas.pop(key, None)
            return None, None
        digest = hashlib.sha256(schema.SerializeToString(deterministic=True)).digest()
        cached = self._schemas.get(key)
        if cached is None or cached[0] != digest:
            cached = self._schemas[key] = (digest, await asyncio.to_thread(_compile, key[1], schema))
        return cached[1]


def _key(proto: capability_pb2.Capability) -> CandidateKey:
    return proto.owner_tenant_id, proto.capability_id


def _compile(capability_id: str, schema: Struct) -> _Compiled:
    try:
        return compile_schema(json_object(schema)), None
    except (SchemaError, ValueError) as error:
        _log.warning("the schema of a capability cannot be used", capability_id=capability_id, error=str(error))
        return None, UnusableReason(SCHEMA_UNUSABLE, f"its input_schema cannot be used: {error}")


def modality_from_proto(number: int) -> str:
    """Returns the domain's name of a modality, for example "audio_tts"; "" for an unknown one."""
    return _MODALITIES.name(number).lower()


def candidate_from_proto(proto: capability_pb2.Capability) -> Candidate:
    """Returns the candidate of a capability, without its schema."""
    limits, allow = proto.constraints, proto.allow
    return Candidate(
        capability_id=proto.capability_id,
        tool_id=proto.tool_id,
        provider=proto.provider,
        modalities=tuple(filter(None, map(modality_from_proto, proto.modalities))),
        task_types=tuple(proto.task_types),
        limits=Limits(
            formats=tuple(limits.formats),
            max_width_px=limits.max_width_px,
            max_height_px=limits.max_height_px,
            max_prompt_chars=limits.max_prompt_chars,
            context_window_tokens=limits.context_window_tokens,
            max_duration_s=limits.max_duration.ToTimedelta().total_seconds(),
            source_languages=tuple(limits.source_languages),
        ),
        prices=_prices_from_proto(proto.price_list),
        needs_egress=limits.needs_egress or is_remote(proto.endpoint),
        classifications=tuple(proto.data_classifications),
        tenants=tuple(allow.tenants),
        roles=tuple(allow.roles),
        personas=tuple(allow.personas),
        capsules=tuple(allow.capsules),
        unusable=_unsupported(proto),
        cost_tier=_COST_TIERS.get(proto.cost_tier, CostTier.UNSPECIFIED),
        lifecycle=_LIFECYCLES.get(proto.lifecycle, Lifecycle.ACTIVE),
        health=_HEALTHS.get(proto.health.state, Health.UNKNOWN),
        health_reason=proto.health.reason,
        circuit_open=proto.health.circuit_open,
        version=proto.version,
        serialized=_serialize_for_selections(proto),
        serialized_schemas_and_allow_lists=_serialize_schemas_and_allow_lists(proto),
        owner=proto.owner_tenant_id,
    )


def _serialize_for_selections(proto: capability_pb2.Capability) -> bytes:
    """Returns a serialised capability as selections contain it.

    Schemas and allow-lists are left out: they may be large, and the lists name other tenants.
    """
    reduced = capability_pb2.Capability()
    reduced.CopyFrom(proto)
    for name in _NOT_IN_SELECTIONS:
        reduced.ClearField(name)
    return reduced.SerializeToString()


def _serialize_schemas_and_allow_lists(proto: capability_pb2.Capability) -> bytes:
    """Returns the fields that `_serialize_for_selections` leaves out, serialised."""
    rest = capability_pb2.Capability()
    for name in _NOT_IN_SELECTIONS:
        if proto.HasField(name):
            getattr(rest, name).CopyFrom(getattr(proto, name))
    return rest.SerializeToString()


def _unreadable(proto: capability_pb2.Capability) -> Candidate:
    """Returns a candidate for a capability that cannot be converted; it is never chosen, and its rejection says so."""
    return Candidate(
        proto.capability_id,
        proto.tool_id,
        proto.provider,
        tuple(filter(None, map(modality_from_proto, proto.modalities))),
        tuple(proto.task_types),
        tenants=tuple(proto.allow.tenants),
        owner=proto.owner_tenant_id,
        unusable=UnusableReason(UNSUPPORTED, "it cannot be read by this version of the selector"),
    )


def _unsupported(proto: capability_pb2.Capability) -> UnusableReason | None:
    """Returns the first enum value that is unknown here, where ignoring it could choose wrongly."""
    unknown = next(_unknown_values(proto), None)
    if unknown is None:
        return None
    return UnusableReason(UNSUPPORTED, f"its {unknown} is a value that this version of the selector does not know")


def _unknown_values(proto: capability_pb2.Capability) -> Iterator[str]:
    if proto.lifecycle not in capability_pb2.Lifecycle.values():
        yield "lifecycle"
    if proto.health.state not in capability_pb2.HealthState.values():
        yield "health"
    if proto.cost_tier not in capability_pb2.CostTier.values():
        yield "cost tier"
    if any(price.unit not in _UNITS for price in proto.price_list.prices):
        yield "price unit"


def _prices_from_proto(proto: capability_pb2.PriceList) -> Prices:
    prices = _prices_by_unit({price.unit: price.micro_usd for price in proto.prices})
    per_million = {price.unit: price.micro_usd_per_million for price in proto.prices if price.micro_usd_per_million}
    return replace(prices, per_million=_prices_by_unit(per_million)) if per_million else prices


def _prices_by_unit(amounts: Mapping[capability_pb2.PriceUnit.ValueType, int]) -> Prices:
    return Prices(
        call=amounts.get(capability_pb2.PRICE_UNIT_CALL, 0),
        image=amounts.get(capability_pb2.PRICE_UNIT_IMAGE, 0),
        second=amounts.get(capability_pb2.PRICE_UNIT_SECOND, 0),
        input_token=amounts.get(capability_pb2.PRICE_UNIT_INPUT_TOKEN, 0),
        output_token=amounts.get(capability_pb2.PRICE_UNIT_OUTPUT_TOKEN, 0),
    )


_UNITS = frozenset(
    {
        capability_pb2.PRICE_UNIT_CALL,
        capability_pb2.PRICE_UNIT_IMAGE,
        capability_pb2.PRICE_UNIT_SECOND,
        capability_pb2.PRICE_UNIT_INPUT_TOKEN,
        capability_pb2.PRICE_UNIT_OUTPUT_TOKEN,
    }
)
_COST_TIERS = {
    capability_pb2.COST_TIER_FREE: CostTier.FREE,
    capability_pb2.COST_TIER_LOW: CostTier.LOW,
    capability_pb2.COST_TIER_MEDIUM: CostTier.MEDIUM,
    capability_pb2.COST_TIER_HIGH: CostTier.HIGH,
    capability_pb2.COST_TIER_PREMIUM: CostTier.PREMIUM,
}
_LIFECYCLES = {
    capability_pb2.LIFECYCLE_DEPRECATED: Lifecycle.DEPRECATED,
    capability_pb2.LIFECYCLE_DISABLED: Lifecycle.DISABLED,
}
_HEALTHS = {
    capability_pb2.HEALTH_STATE_HEALTHY: Health.HEALTHY,
    capability_pb2.HEALTH_STATE_DEGRADED: Health.DEGRADED,
    capability_pb2.HEALTH_STATE_UNHEALTHY: Health.UNHEALTHY,
}


def ladders_from_proto(protos: Sequence[capability_service_pb2.OwnedLadder]) -> dict[LadderKey, Ladder]:
    """Returns ladders by owner, modality and task type; skips those of unknown modalities."""
    ladders = {}
    for owned in protos:
        ladder = owned.ladder
        if modality := modality_from_proto(ladder.modality):
            key = (owned.tenant_id, modality, ladder.task_type)
            ladders[key] = Ladder(tuple(ladder.capability_ids), ladder.version)
    return ladders
