"""Labels of the executor's metrics: names that tenants choose are not among them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import prometheus_client

from mesh.testing.clock import FakeClock
from soma_providers.port import CapabilityKey
from svc_executor.adapters.metrics import PrometheusMeter
from svc_executor.bootstrap.providers import shipped_capabilities
from svc_executor.domain.job import Execution, ExecutionStatus
from svc_executor.settings import ExecutorSettings
from tests.unit.executor.rig import capability

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FAILED = Execution(
    "e", "j", "s", 0, 1, "generate_diagram", "diagram", capability("mermaid"), "sel", "key",
    status=ExecutionStatus.FAILED, error_code="TIMEOUT", started_at=FakeClock().now(),
)  # fmt: skip
PRIVATE = "secret-project"


def labels() -> Iterator[str]:
    """Every label value that is exposed."""
    for family in prometheus_client.REGISTRY.collect():
        for sample in family.samples:
            yield from sample.labels.values()


def assert_no_label_is_private() -> None:
    shown = {*labels()}
    assert "other" in shown
    assert not any(PRIVATE in value for value in shown)


def counted(name: str, **wanted: str) -> float:
    return prometheus_client.REGISTRY.get_sample_value(name, wanted) or 0.0


def test_a_capability_that_ships_is_counted_by_its_name() -> None:
    wanted = {"modality": "diagram", "tool_id": "mermaid", "error_reason": "TIMEOUT"}
    before = counted("multimodal_provider_errors_total", **wanted)
    PrometheusMeter(shipped_capabilities(ExecutorSettings())).execution(FAILED)
    assert counted("multimodal_provider_errors_total", **wanted) == before + 1


def test_a_capability_of_a_tenant_is_counted_as_other() -> None:
    meter = PrometheusMeter(shipped_capabilities(ExecutorSettings()))
    wanted = {"tool_id": "other", "provider": "other", "state": "open"}
    before = counted("circuit_breaker_transitions_total", **wanted)
    meter.execution(replace(FAILED, capability=capability(PRIVATE, f"{PRIVATE}-host")))
    meter.execution(replace(FAILED, capability=capability("mermaid", f"{PRIVATE}-host")))
    meter.breaker(CapabilityKey(f"{PRIVATE}@{PRIVATE}-host"), "open")
    assert counted("circuit_breaker_transitions_total", **wanted) == before + 1
    assert_no_label_is_private()


def test_open_circuits_of_tenants_are_counted_by_capability_and_name_no_tenant() -> None:
    meter = PrometheusMeter(shipped_capabilities(ExecutorSettings()))
    is_open = Counter({CapabilityKey("mermaid@local"): 3, CapabilityKey("mermaid@local", PRIVATE): 1})
    is_open[CapabilityKey(f"{PRIVATE}@{PRIVATE}-host", PRIVATE)] = 2
    meter.tenant_circuits(lambda: is_open)
    shown = {
        tool: counted("circuit_breaker_open_tenants", tool_id=tool, provider=provider)
        for tool, provider in (("mermaid", "local"), ("d2", "local"), ("other", "other"))
    }
    assert shown == {"mermaid": 3, "d2": 0, "other": 3}
    del is_open[CapabilityKey("mermaid@local")]
    assert counted("circuit_breaker_open_tenants", tool_id="mermaid", provider="local") == 0
    assert_no_label_is_private()


def test_a_private_capability_with_the_id_of_one_that_ships_is_counted_as_other() -> None:
    meter = PrometheusMeter(shipped_capabilities(ExecutorSettings()))
    shipped = {"tool_id": "mermaid", "provider": "local", "state": "open"}
    before = counted("circuit_breaker_transitions_total", **shipped)
    meter.breaker(CapabilityKey("mermaid@local", "acme"), "open")
    assert counted("circuit_breaker_transitions_total", **shipped) == before


def test_a_folder_of_manifests_stands_for_those_of_the_installed_providers(tmp_path: Path) -> None:
    fields = "tool_id: own\nprovider: local\nkind: CAPABILITY_KIND_TOOL\nmodalities: [MODALITY_TEXT]\n"
    (tmp_path / "own.yaml").write_text(f"{fields}task_types: [text_chat]\n")
    assert shipped_capabilities(ExecutorSettings(manifests=tmp_path)) == {"own@local"}
    assert "mermaid@local" in shipped_capabilities(ExecutorSettings())
