"""What calls show of capabilities is counted, and reported to the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh import context
from mesh.context import RequestContext
from mesh.resilience import CircuitState
from mesh.testing.clock import FakeClock
from mesh.testing.contract import eventually
from soma_providers.port import CapabilityKey
from svc_executor.adapters.reports import CapabilityReports
from svc_executor.domain.peers import HealthState
from tests.in_memory.executor.peers import MemoryMeter, MemoryRegistry

if TYPE_CHECKING:
    from svc_executor.domain.peers import HealthReport

OWNED = CapabilityKey("mermaid@local", "tenant-a")


async def test_an_opened_circuit_is_counted_and_reported_for_the_owner_of_its_capability() -> None:
    registry, meter = MemoryRegistry(), MemoryMeter()
    reports = CapabilityReports(registry, meter, FakeClock())
    reports.circuit_changed(OWNED, CircuitState.OPEN)
    await reports.aclose()
    (report,) = registry.reports
    assert (report.capability_id, report.owner_tenant_id) == OWNED
    assert (report.state, report.circuit_open) == (HealthState.UNHEALTHY, True)
    assert meter.entries == ["breaker mermaid@local open"]


async def test_a_closed_circuit_is_reported_as_healthy_and_a_half_open_one_only_counted() -> None:
    registry, meter = MemoryRegistry(), MemoryMeter()
    reports = CapabilityReports(registry, meter, FakeClock())
    for state in (CircuitState.HALF_OPEN, CircuitState.CLOSED):
        reports.circuit_changed(OWNED, state)
    await reports.aclose()
    assert [(report.state, report.circuit_open) for report in registry.reports] == [(HealthState.HEALTHY, False)]
    assert [entry.rpartition(" ")[2] for entry in meter.entries] == ["half_open", "closed"]


async def test_a_circuit_is_reported_in_the_name_of_the_executor() -> None:
    class Witness(MemoryRegistry):
        callers: list[object] = []  # noqa: RUF012 - one registry a test

        async def report_health(self, report: HealthReport) -> None:
            self.callers.append(context.current())
            await super().report_health(report)

    witness = Witness()
    reports = CapabilityReports(witness, MemoryMeter(), FakeClock())
    with context.use(RequestContext(None, "request-of-a-tenant", "trace")):
        reports.circuit_changed(OWNED, CircuitState.OPEN)
    await eventually(lambda: bool(witness.reports))
    assert witness.callers == [None]


async def test_a_success_is_reported_once_a_minute() -> None:
    registry, clock = MemoryRegistry(), FakeClock()
    reports = CapabilityReports(registry, MemoryMeter(), clock)
    for pause in (0.0, 1.0, 58.0, 1.0, 59.0):
        await clock.advance(pause)
        reports.succeeded(OWNED)
    await reports.aclose()
    assert [(report.capability_id, report.state, report.owner_tenant_id) for report in registry.reports] == [
        ("mermaid@local", HealthState.HEALTHY, "tenant-a")
    ] * 2


async def test_circuits_of_tenants_are_shown_by_the_meter() -> None:
    meter = MemoryMeter()
    CapabilityReports(MemoryRegistry(), meter, FakeClock()).tenant_circuits(lambda: {OWNED: 2})
    assert meter.open_circuits() == {OWNED: 2}
