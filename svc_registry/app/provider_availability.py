"""Whether at least one provider can be selected."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from svc_registry.domain import HealthState, Lifecycle

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_registry.app.catalog import Catalog
    from svc_registry.domain import Health

_USABLE_STATES = frozenset({HealthState.HEALTHY, HealthState.DEGRADED})


class ProviderAvailability:
    """Evaluates the health of the platform's capabilities, which every tenant depends on.

    A check that is older than `max_age_s` seconds does not count.
    """

    def __init__(self, catalog: Catalog, clock: Clock, max_age_s: float) -> None:
        self._catalog = catalog
        self._clock = clock
        self._max_age_s = max_age_s

    async def failure_reason(self) -> str | None:
        """Returns why no capability can be selected, "" when one can be, None when none was ever checked."""
        platform = self._catalog.capabilities.platform_capabilities()
        enabled = [capability for capability in platform if capability.lifecycle is not Lifecycle.DISABLED]
        if not enabled:
            return "no capability is registered"
        if any(self._is_usable(capability.health) for capability in enabled):
            return ""
        if all(capability.health.checked_at is None for capability in enabled):
            return None
        return f"none of {len(enabled)} capabilities was healthy in the last {self._max_age_s:g} s"

    def _is_usable(self, health: Health) -> bool:
        if health.state not in _USABLE_STATES or health.circuit_open or health.checked_at is None:
            return False
        return self._clock.now() - health.checked_at <= timedelta(seconds=self._max_age_s)
