"""Clients of the registry and the gateway."""

from svc_selector.adapters.peers.capabilities import candidate_from_proto
from svc_selector.adapters.peers.gateway import GatewayDegradation, GatewayPermissions
from svc_selector.adapters.peers.registry import RegistryWatch

__all__ = ["GatewayDegradation", "GatewayPermissions", "RegistryWatch", "candidate_from_proto"]
