"""The wiring of the selector."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.chassis import chassis
from mesh.dependencies import Dependency
from mesh.lifecycle import background
from mesh.settings import load
from soma.gateway.v1.health_service_pb2_grpc import DegradationServiceStub
from soma.gateway.v1.permission_service_pb2_grpc import PermissionServiceStub
from soma.registry.v1.capability_service_pb2_grpc import CapabilityServiceStub
from soma.selector.v1.budget_service_pb2_grpc import add_BudgetServiceServicer_to_server
from soma.selector.v1.selector_service_pb2_grpc import add_SelectorServiceServicer_to_server
from svc_selector.adapters.catalog import Catalog
from svc_selector.adapters.metrics import InstrumentedSelector
from svc_selector.adapters.peers import GatewayDegradation, GatewayPermissions, RegistryWatch
from svc_selector.adapters.policy import RegoPolicy
from svc_selector.adapters.postgres import PostgresDecisionStore, PostgresLedger
from svc_selector.adapters.postgres.retention import RETENTION_RULES
from svc_selector.app import Recorder, Selector, SelectorOptions
from svc_selector.app.expire import ReservationExpirer
from svc_selector.context import CONTEXT, NAME
from svc_selector.events.published import SelectionEvents
from svc_selector.rpc import BudgetServicer, SelectionConverter, SelectorServicer
from svc_selector.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.chassis import Chassis
    from mesh.lifecycle import Service


@asynccontextmanager
async def build(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Builds the selector; on exit closes its parts in reverse order."""
    settings = settings or load(Settings, NAME)
    async with chassis(CONTEXT, settings) as mesh:
        converter = SelectionConverter()
        decisions = PostgresDecisionStore(
            mesh.postgres,
            mesh.outbox,
            mesh.auditor,
            to_bytes=converter.to_bytes,
            to_events=SelectionEvents(converter).from_decisions,
        )
        limit = settings.selector.default_monthly_budget_micro_usd
        ledger = PostgresLedger(
            mesh.postgres, decisions, mesh.auditor, clock=mesh.clock, ids=mesh.ids, default_limit_micro_usd=limit
        )
        expirer = ReservationExpirer(ledger, mesh.clock, settings.selector.expire_every_s)
        await mesh.enter(background(expirer.run, "reservation-sweeper", clock=mesh.clock))
        await mesh.apply_retention(RETENTION_RULES, settings.retention.selections_days)
        selector = InstrumentedSelector(await _selector(mesh, settings, decisions, ledger))
        reservation_ttl = timedelta(seconds=settings.selector.reservation_ttl_s)
        yield await mesh.serve(
            [
                (add_SelectorServiceServicer_to_server, SelectorServicer(selector, converter)),
                (add_BudgetServiceServicer_to_server, BudgetServicer(ledger, reservation_ttl)),
            ]
        )


async def _selector(
    chassis: Chassis, settings: Settings, decisions: PostgresDecisionStore, ledger: PostgresLedger
) -> Selector:
    await chassis.follow_keys()
    gateway = await chassis.peer("gateway")
    degradation = GatewayDegradation(DegradationServiceStub(gateway), chassis.clock)
    await chassis.enter(degradation.running())
    catalog = Catalog()
    watch = RegistryWatch(CapabilityServiceStub(await chassis.peer("registry")), catalog, chassis.clock)
    await chassis.enter(watch.running())
    chassis.depends_on(Dependency("registry_view", watch.failure_reason))
    # A selector without capabilities is not ready; if the registry stays unavailable, calls fail with that reason.
    await catalog.wait_loaded(settings.selector.wait_for_registry_s)
    options = SelectorOptions(
        reservation_ttl_s=settings.selector.reservation_ttl_s,
        max_stale_s=settings.selector.max_stale_s,
        allow_force=settings.selector.allow_force,
    )
    return Selector(
        candidates=catalog,
        policy=RegoPolicy(chassis.policy, settings.tls.profile),
        permissions=GatewayPermissions(
            PermissionServiceStub(gateway), chassis.clock, settings.selector.permissions_max_stale_s
        ),
        ledger=ledger,
        decisions=decisions,
        recorder=await chassis.enter(Recorder(decisions, chassis.clock).running()),
        degradation=degradation,
        clock=chassis.clock,
        ids=chassis.ids,
        options=options,
    )
