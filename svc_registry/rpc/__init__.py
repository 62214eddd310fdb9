"""gRPC face of the registry."""

from svc_registry.rpc.capability_service import CapabilityServicer
from svc_registry.rpc.convert import capability_to_proto

__all__ = ["CapabilityServicer", "capability_to_proto"]
