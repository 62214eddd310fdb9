"""The metric of the health of capabilities, which exposes no private name of a tenant."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mesh.telemetry import gauge
from svc_registry.domain import HealthState

if TYPE_CHECKING:
    from svc_registry.domain import Capability

PRIVATE = "private"
_LEVELS = {HealthState.UNKNOWN: 0, HealthState.HEALTHY: 1, HealthState.DEGRADED: 2, HealthState.UNHEALTHY: 3}


class HealthGauge:
    """`capability_health_status`: one series for each capability of the platform, one for the worst private one."""

    def __init__(self) -> None:
        self._metric = gauge(
            "capability_health_status",
            "Health, 0 (unknown), 1 (healthy) to 3 (unhealthy); the worst of all private ones as `private`.",
            ("tool_id", "provider"),
        )
        self._private: Counter[int] = Counter()

    def update(self, before: Capability | None, after: Capability | None) -> None:
        """Replaces a capability in the metric; None stands for one that does not exist."""
        capability = after or before
        if capability is not None and capability.tenant_id:
            self._update_private(before, after)
        elif after is not None:
            self._metric.labels(after.tool_id, after.provider).set(_LEVELS[after.health.state])
        elif before is not None:
            self._metric.remove(before.tool_id, before.provider)

    def _update_private(self, before: Capability | None, after: Capability | None) -> None:
        for capability, change in ((before, -1), (after, 1)):
            if capability is not None:
                self._private[_LEVELS[capability.health.state]] += change
        worst = max((level for level, count in self._private.items() if count > 0), default=0)
        self._metric.labels(PRIVATE, PRIVATE).set(worst)
