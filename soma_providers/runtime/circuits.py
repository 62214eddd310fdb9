"""Circuit breakers around providers: one for each tenant and capability, and one for each capability and all tenants.

A capability is told by its id and its owner: one of a tenant's private id says nothing of the platform's.

A failure is held against the platform-wide circuit only when it is the provider's fault, and no other tenant was
served while the failed call ran, or within the window before it ended; so what one tenant sends stops nobody else.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.errors import SomaError
from mesh.lru import LruMap
from mesh.resilience import CircuitBreaker, CircuitState
from soma_providers.port import CapabilityKey, Failure, FailureOrigin, ProviderBusyError, ProviderError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.clock import Clock

Transition = Callable[[CapabilityKey, CircuitState, CircuitState], None]
_DOWN = frozenset({Failure.UNAVAILABLE, Failure.TIMEOUT})
_CAPABILITIES, _TENANTS = 4_096, 16_384
_WITNESSES = 2


class Circuits:
    """Both breakers of every call. `on_transition` hears of the platform-wide ones. Times are in seconds."""

    def __init__(
        self, clock: Clock, on_transition: Transition, *, failures: int, window_s: float, recovery_s: float
    ) -> None:
        self._clock = clock
        self._on_transition = on_transition
        self._failures = failures
        self._window_s = window_s
        self._recovery_s = recovery_s
        self._platform = LruMap[CapabilityKey, CircuitBreaker](_CAPABILITIES)
        self._tenants = LruMap[tuple[str, CapabilityKey], CircuitBreaker](_TENANTS)
        self._served = LruMap[CapabilityKey, _Served](_CAPABILITIES)
        self._open_until = OrderedDict[tuple[str, CapabilityKey], float]()

    def __len__(self) -> int:
        """Returns how many breakers are held now."""
        return len(self._platform) + len(self._tenants)

    def state(self, capability: CapabilityKey) -> CircuitState:
        """Returns the state of the platform-wide circuit."""
        breaker = self._platform.get(capability)
        return CircuitState.CLOSED if breaker is None else breaker.state

    def open_tenants(self) -> Counter[CapabilityKey]:
        """Counts the tenants whose own circuit is open, by capability. May be called from any thread."""
        now = self._clock.monotonic()
        return Counter(capability for (_, capability), until in tuple(self._open_until.items()) if until > now)

    @asynccontextmanager
    async def guard(self, capability: CapabilityKey, tenant_id: str) -> AsyncIterator[None]:
        """Watch the enclosed call; raises SomaError(UNAVAILABLE) while one of its circuits is open."""
        served = self._served.get_or_create(capability, _Served)
        own = self._tenants.get_or_create((tenant_id, capability), lambda: self._of_tenant(tenant_id, capability))
        shared = self._platform.get_or_create(capability, lambda: self._of_platform(capability))
        started = self._clock.monotonic()

        def against_provider(error: Exception) -> bool | None:
            if _is_fault_of_provider(error):
                since = min(started, self._clock.monotonic() - self._window_s)
                return None if served.another(tenant_id, since) else True
            return None

        async with own.guard(), shared.guard(against_provider):
            yield
            served.record(tenant_id, self._clock.monotonic())

    def clear(self) -> None:
        """Forgets all that was learnt."""
        self._platform.clear()
        self._tenants.clear()
        self._served.clear()
        self._open_until.clear()

    def _of_platform(self, capability: CapabilityKey) -> CircuitBreaker:
        return CircuitBreaker(
            capability.capability_id, self._clock,
            failures=self._failures, window_s=self._window_s, recovery_s=self._recovery_s,
            on_transition=lambda _, before, after: self._on_transition(capability, before, after),
        )  # fmt: skip

    def _of_tenant(self, tenant_id: str, capability: CapabilityKey) -> CircuitBreaker:
        return CircuitBreaker(
            capability.capability_id, self._clock,
            failures=self._failures, window_s=self._window_s, recovery_s=self._recovery_s,
            classify=_concerns_tenant,
            on_transition=lambda _, _before, after: self._record_transition((tenant_id, capability), after),
        )  # fmt: skip

    def _record_transition(self, circuit: tuple[str, CapabilityKey], state: CircuitState) -> None:
        """Keep until when a tenant's circuit is open, called again or not; what opened first ends first."""
        now = self._clock.monotonic()
        self._open_until.pop(circuit, None)
        if state is CircuitState.OPEN:
            self._open_until[circuit] = now + self._recovery_s
        while self._open_until and (len(self._open_until) > _TENANTS or next(iter(self._open_until.values())) <= now):
            self._open_until.popitem(last=False)


class _Served:
    """Which tenants a capability served last, and when."""

    def __init__(self) -> None:
        self._at: OrderedDict[str, float] = OrderedDict()

    def record(self, tenant_id: str, now: float) -> None:
        """Records a success."""
        self._at[tenant_id] = now
        self._at.move_to_end(tenant_id)
        if len(self._at) > _WITNESSES:
            self._at.popitem(last=False)

    def another(self, tenant_id: str, since: float) -> bool:
        """Whether a tenant other than this one was served since then."""
        return any(other != tenant_id and at >= since for other, at in self._at.items())


def _is_fault_of_provider(error: Exception) -> bool:
    return isinstance(error, ProviderError) and error.origin is FailureOrigin.PROVIDER and error.reason in _DOWN


def _concerns_tenant(error: Exception) -> bool | None:
    """What counts for a tenant's own circuit: also sources that take too long, and what an adapter cannot cope with.

    A page or an endpoint that the tenant named and that answers at once costs nothing worth holding back.
    """
    if isinstance(error, (SomaError, ProviderBusyError)):  # the platform-wide circuit is open, or nothing was called
        return None
    if not isinstance(error, ProviderError):
        return True
    if error.origin is FailureOrigin.CALLER and error.reason is Failure.TIMEOUT:
        return True
    return True if _is_fault_of_provider(error) else None
