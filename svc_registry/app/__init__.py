"""Use cases of the registry."""

from svc_registry.app.catalog import Catalog, Change, Subscription, View
from svc_registry.app.providers import Providers
from svc_registry.app.registry import Registry
from svc_registry.app.seeds import seed_ladders

__all__ = ["Catalog", "Change", "Providers", "Registry", "Subscription", "View", "seed_ladders"]
