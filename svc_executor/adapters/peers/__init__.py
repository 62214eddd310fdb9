"""The other contexts, over gRPC."""

from __future__ import annotations

from svc_executor.adapters.peers.assets import AssetsPeer
from svc_executor.adapters.peers.critic import CriticPeer
from svc_executor.adapters.peers.registry import RegistryPeer, capability_of, registered_capability_from_proto
from svc_executor.adapters.peers.selector import SelectorPeer

__all__ = [
    "AssetsPeer",
    "CriticPeer",
    "RegistryPeer",
    "SelectorPeer",
    "capability_of",
    "registered_capability_from_proto",
]
