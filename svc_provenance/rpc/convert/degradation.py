"""Converter of degradation levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.rpc.enums import EnumCodec
from soma.gateway.v1 import health_service_pb2

if TYPE_CHECKING:
    from mesh.degradation import DegradationLevel

_LEVELS = EnumCodec(health_service_pb2.DegradationLevel)


def degradation_to_proto(level: DegradationLevel) -> health_service_pb2.DegradationLevel.ValueType:
    """The message's value of a level; the one that is unspecified means an unknown level."""
    return _LEVELS.number(level.name if level else "")
