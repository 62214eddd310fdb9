"""Health of capabilities as a metric that shows no tenant's private names."""

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
    """`capability_health_status`: the platform's by name; of all private ones together, the worst."""

    def __init__(self) -> None:
        self._family = gauge(
            "capability_health_status",
            "Health, 0 (unknown), 1 (healthy) to 3 (unhealthy); the worst of all private ones as `private`.",
            ("tool_id", "provider"),
        )
        self._private: Counter[int] = Counter()

    def replace(self, before: Capability | None, after: Capability | None) -> None:
        """Shows a capability as it is now; None: it is not there."""
        item = after or before
        if item is not None and item.tenant_id:
            self._count(before, after)
        elif after is not None:
            self._family.labels(after.tool_id, after.provider).set(_LEVELS[after.health.state])
        elif before is not None:
            self._family.remove(before.tool_id, before.provider)

    def _count(self, before: Capability | None, after: Capability | None) -> None:
        for item, step in ((before, -1), (after, 1)):
            if item is not None:
                self._private[_LEVELS[item.health.state]] += step
        worst = max((level for level, count in self._private.items() if count > 0), default=0)
        self._family.labels(PRIVATE, PRIVATE).set(worst)
