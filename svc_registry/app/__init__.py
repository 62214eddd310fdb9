"""Use cases of the registry."""

from svc_registry.app.catalog import Catalog, Snapshot, Subscription
from svc_registry.app.egress import reconcile_needs_egress, watch_needs_egress
from svc_registry.app.history import Change
from svc_registry.app.ladders import Ladders
from svc_registry.app.provider_availability import ProviderAvailability
from svc_registry.app.registry import Registry
from svc_registry.app.seeds import seed_ladders

__all__ = [
    "Catalog",
    "Change",
    "Ladders",
    "ProviderAvailability",
    "Registry",
    "Snapshot",
    "Subscription",
    "reconcile_needs_egress",
    "seed_ladders",
    "watch_needs_egress",
]
