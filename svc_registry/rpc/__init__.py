"""The gRPC services of the registry."""

from svc_registry.rpc.capability_service import CapabilityServicer

__all__ = ["CapabilityServicer"]
