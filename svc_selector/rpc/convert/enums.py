"""Enum values of the contract and the names that the domain has for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.rpc.enums import EnumCodec
from soma.common.v1 import modality_pb2
from soma.registry.v1 import capability_pb2
from svc_selector.domain.model import CostTier

if TYPE_CHECKING:
    from soma.common.v1.modality_pb2 import Modality

_MODALITIES = EnumCodec(modality_pb2.Modality)
_COST_TIERS = EnumCodec(capability_pb2.CostTier)


def modality_from_proto(number: Modality.ValueType) -> str:
    """Returns the domain's name of a modality."""
    return _MODALITIES.name(number).lower()


def modality_to_proto(name: str) -> Modality.ValueType:
    """Returns the number of a modality; 0 for ""."""
    return _MODALITIES.number(name)


def cost_tier_from_proto(number: capability_pb2.CostTier.ValueType) -> CostTier:
    """Returns a cost tier."""
    return CostTier(_COST_TIERS.name(number).lower())


def cost_tier_to_proto(tier: CostTier) -> capability_pb2.CostTier.ValueType:
    """Returns the number of a cost tier."""
    return _COST_TIERS.number(tier.value)
