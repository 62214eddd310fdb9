"""The wiring of the registry."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.chassis import chassis
from mesh.dependencies import Dependency
from mesh.events.event import Event
from mesh.events.topics import facts_of
from mesh.ids import derive
from mesh.lifecycle import background
from mesh.settings import load
from soma.events.v1 import facts_pb2
from soma.registry.v1.capability_service_pb2_grpc import add_CapabilityServiceServicer_to_server
from soma.selector.v1.selector_service_pb2_grpc import SelectorServiceStub
from svc_registry.adapters.postgres import RULES, PostgresStore
from svc_registry.app import Catalog, Providers, Registry, correct_egress, follow_egress, seed_ladders
from svc_registry.app.ports import Quotas
from svc_registry.context import CONTEXT, NAME
from svc_registry.rpc import CapabilityServicer, capability_to_proto
from svc_registry.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.lifecycle import Service
    from svc_registry.domain import Capability


def capability_changed(capability: Capability, subject: str) -> Event:
    """The event of a capability's change."""
    payload = facts_pb2.CapabilityChanged(capability=capability_to_proto(capability), subject=subject)
    if capability.updated_at is None:
        raise ValueError("a capability that changed has the time of its change")
    return Event.from_message(
        payload,
        event_id=derive("capability.changed", *reversed(capability.key), str(capability.version)),
        topic=facts_of(NAME),
        key=capability.capability_id,
        tenant_id=capability.tenant_id,
        occurred_at=capability.updated_at,
    )


@asynccontextmanager
async def build(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Builds the registry and undoes it in reverse."""
    settings = settings or load(Settings, NAME)
    async with chassis(CONTEXT, settings) as mesh:
        await mesh.follow_keys()
        limits = Quotas(settings.registry.capabilities_per_tenant, settings.registry.ladders_per_tenant)
        store = PostgresStore(mesh.postgres, mesh.outbox, mesh.auditor, capability_changed, limits)
        await seed_ladders(store, mesh.clock)
        catalog = await mesh.enter(Catalog(store, store, mesh.ids.new(), mesh.clock).running())
        await correct_egress(store, catalog, mesh.clock)
        await mesh.enter(
            background(lambda: follow_egress(store, catalog, mesh.clock), "registry-egress", clock=mesh.clock)
        )
        await mesh.apply_retention(RULES, settings.retention.records_days)
        providers = Providers(catalog, mesh.clock, settings.registry.health_fresh_s)
        mesh.depends_on(Dependency("providers", providers.failure_reason))
        selector = SelectorServiceStub(await mesh.peer("selector"))
        servicer = CapabilityServicer(
            Registry(store, catalog, mesh.clock), catalog, selector.FindCandidates, mesh.heartbeats
        )
        yield await mesh.serve([(add_CapabilityServiceServicer_to_server, servicer)])
