"""The metrics of the executor, under the names that dashboards know."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mesh.telemetry import OVERFLOW, counter, gauge, histogram
from soma_providers.port import CapabilityKey
from svc_executor.domain.job import ExecutionStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from svc_executor.domain.job import Execution

_MILLISECONDS = 1_000
_MICRO_USD_PER_CENT = 10_000
_CENTS = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 500.0)


class PrometheusMeter:
    """A `Meter`. Capabilities other than `shipped`, whose names tenants choose, are counted together as "other"."""

    def __init__(self, shipped: Iterable[str]) -> None:
        self._shipped = frozenset(shipped)
        self._latency = histogram(
            "multimodal_execution_latency_seconds",
            "Time a provider took for an attempt.",
            ("modality", "tool_id", "provider", "status"),
        )
        self._cost = histogram(
            "multimodal_execution_cost_estimate_cents",
            "Cost of an attempt in US cents.",
            ("modality", "tool_id", "provider"),
            buckets=_CENTS,
        )
        self._errors = counter(
            "multimodal_provider_errors_total", "Attempts that failed.", ("modality", "tool_id", "error_reason")
        )
        self._reworks = counter(
            "multimodal_rework_attempts_total",
            "Attempts that replace one sent back.",
            ("modality", "reason"),
        )
        self._failures = counter("failure_reason_total", "Attempts whose result was not used.", ("reason",))
        self._fallbacks = counter(
            "multimodal_fallback_total", "Capabilities that were excluded after a failure.", ("modality", "reason")
        )
        self._compensations = counter("compensations_total", "Compensations that were tried.", ("kind", "result"))
        self._open = gauge("compensations_open", "Compensations that are not done, up to 10,000.")
        self._unfinished = gauge(
            "erasures_unfinished", "Erased assets of which jobs may still keep a text, up to 10,000."
        )
        self._lost_runs = counter("job_runs_lost_total", "Runs that were closed because their workflow was lost.")
        self._rollbacks = histogram("rollback_latency_seconds", "Time that the compensations of a run took.")
        self._breakers = counter(
            "circuit_breaker_transitions_total", "Transitions of circuit breakers.", ("tool_id", "provider", "state")
        )

        self._open_tenants = gauge(
            "circuit_breaker_open_tenants",
            "Tenants whose own circuit around a capability is open.",
            ("tool_id", "provider"),
        )

    def execution(self, execution: Execution) -> None:
        capability, modality = execution.capability, execution.modality
        tool_id, provider = self._labels_of(CapabilityKey(capability.capability_id, capability.owner_tenant_id))
        names = (modality, tool_id, provider)
        seconds = execution.latency_ms / _MILLISECONDS
        self._latency.labels(*names, execution.status.value).observe(seconds)
        if execution.status is ExecutionStatus.FAILED:
            self._failures.labels(execution.error_code).inc()
            self._errors.labels(modality, tool_id, execution.error_code).inc()

    def cost(self, execution: Execution) -> None:
        capability = execution.capability
        tool_id, provider = self._labels_of(CapabilityKey(capability.capability_id, capability.owner_tenant_id))
        self._cost.labels(execution.modality, tool_id, provider).observe(execution.cost_micro_usd / _MICRO_USD_PER_CENT)

    def rework(self, modality: str, reason: str) -> None:
        self._reworks.labels(modality, reason).inc()
        self._failures.labels(reason).inc()

    def fallback(self, modality: str, reason: str) -> None:
        self._fallbacks.labels(modality, reason).inc()

    def compensation(self, kind: str, *, done: bool) -> None:
        self._compensations.labels(kind, "done" if done else "failed").inc()

    def rollback(self, seconds: float) -> None:
        self._rollbacks.labels().observe(seconds)

    def open_compensations(self, number: int) -> None:
        self._open.labels().set(number)

    def unfinished_erasures(self, number: int) -> None:
        self._unfinished.labels().set(number)

    def lost_run(self) -> None:
        self._lost_runs.labels().inc()

    def breaker(self, capability: CapabilityKey, state: str) -> None:
        self._breakers.labels(*self._labels_of(capability), state).inc()

    def tenant_circuits(self, open_now: Callable[[], Mapping[CapabilityKey, int]]) -> None:
        for names in {self._labels_of(CapabilityKey(shipped)) for shipped in self._shipped} | {(OVERFLOW, OVERFLOW)}:
            self._open_tenants.labels(*names).set_function(partial(self._sum, open_now, names))

    def _sum(self, open_now: Callable[[], Mapping[CapabilityKey, int]], names: tuple[str, str]) -> float:
        return sum(number for capability, number in open_now().items() if self._labels_of(capability) == names)

    def _labels_of(self, capability: CapabilityKey) -> tuple[str, str]:
        """Tool and provider as metrics show them."""
        if capability.owner_tenant_id or capability.capability_id not in self._shipped:
            return OVERFLOW, OVERFLOW
        tool_id, _, provider = capability.capability_id.partition("@")
        return tool_id, provider
