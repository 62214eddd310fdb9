"""The wiring of the registry."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.chassis import chassis
from mesh.dependencies import Dependency
from mesh.lifecycle import background
from mesh.settings import load
from soma.registry.v1.capability_service_pb2_grpc import add_CapabilityServiceServicer_to_server
from soma.selector.v1.selector_service_pb2_grpc import SelectorServiceStub
from svc_registry.adapters.postgres import RETENTION_RULES, PostgresStore
from svc_registry.app import (
    Catalog,
    ProviderAvailability,
    Registry,
    reconcile_needs_egress,
    seed_ladders,
    watch_needs_egress,
)
from svc_registry.app.ports import Quotas
from svc_registry.context import CONTEXT, NAME
from svc_registry.events.published import capability_changed
from svc_registry.rpc import CapabilityServicer
from svc_registry.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.lifecycle import Service


@asynccontextmanager
async def build(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Builds the registry's process; tears it down in reverse order."""
    settings = settings or load(Settings, NAME)
    async with chassis(CONTEXT, settings) as mesh:
        await mesh.follow_keys()
        quotas = Quotas(settings.registry.capabilities_per_tenant, settings.registry.ladders_per_tenant)
        store = PostgresStore(mesh.postgres, mesh.outbox, mesh.auditor, capability_changed, quotas)
        await seed_ladders(store, mesh.clock)
        catalog = await mesh.enter(Catalog(store, store, mesh.ids.new(), mesh.clock).running())
        await reconcile_needs_egress(store, catalog, mesh.clock)
        await mesh.enter(
            background(lambda: watch_needs_egress(store, catalog, mesh.clock), "registry-egress", clock=mesh.clock)
        )
        await mesh.apply_retention(RETENTION_RULES, settings.retention.records_days)
        availability = ProviderAvailability(catalog, mesh.clock, settings.registry.health_fresh_s)
        mesh.depends_on(Dependency("providers", availability.failure_reason))
        selector = SelectorServiceStub(await mesh.peer("selector"))
        servicer = CapabilityServicer(
            Registry(store, catalog, mesh.clock), catalog, selector.FindCandidates, mesh.heartbeats
        )
        yield await mesh.serve([(add_CapabilityServiceServicer_to_server, servicer)])
