"""Whether any provider at all can be chosen."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from svc_registry.domain import HealthState, Lifecycle

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_registry.app.catalog import Catalog
    from svc_registry.domain import Health

_USABLE = frozenset({HealthState.HEALTHY, HealthState.DEGRADED})


class Providers:
    """Looks at the health of the platform's capabilities, which every tenant needs.

    What was last seen more than `fresh_s` seconds ago counts no more.
    """

    def __init__(self, catalog: Catalog, clock: Clock, fresh_s: float) -> None:
        self._catalog = catalog
        self._clock = clock
        self._fresh_s = fresh_s

    async def failure_reason(self) -> str | None:
        """Why there is nothing to choose from, "" where there is, None where none was ever probed."""
        enabled = [
            item for item in self._catalog.capabilities.of_platform() if item.lifecycle is not Lifecycle.DISABLED
        ]
        if not enabled:
            return "no capability is registered"
        if any(self._usable(item.health) for item in enabled):
            return ""
        if all(item.health.checked_at is None for item in enabled):
            return None
        return f"none of {len(enabled)} capabilities was found well in the last {self._fresh_s:g} s"

    def _usable(self, health: Health) -> bool:
        if health.state not in _USABLE or health.circuit_open or health.checked_at is None:
            return False
        return self._clock.now() - health.checked_at <= timedelta(seconds=self._fresh_s)
