"""What other services tell the selector."""

from svc_selector.adapters.peers.capabilities import candidate_from
from svc_selector.adapters.peers.gateway import GatewayDegradation, GatewayPermissions
from svc_selector.adapters.peers.registry import RegistryFeed

__all__ = ["GatewayDegradation", "GatewayPermissions", "RegistryFeed", "candidate_from"]
