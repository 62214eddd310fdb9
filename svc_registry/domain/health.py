"""How reports become a state: one bad answer degrades, three in a row or an open breaker take out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from svc_registry.domain.model import Health, HealthState

if TYPE_CHECKING:
    from datetime import datetime

FAILURES_TO_UNHEALTHY = 3


def observe(before: Health, reported: HealthState, now: datetime, reason: str = "", *, circuit_open: bool) -> Health:
    """The health after a report.

    HEALTHY clears the count; a report of DEGRADED or UNHEALTHY adds one. UNHEALTHY holds from the third failure in a
    row, or at once while a breaker is open; before that the capability counts as DEGRADED, so that one lost probe
    does not take it away.
    """
    version = before.version + 1
    if reported is HealthState.HEALTHY and not circuit_open:
        return Health(HealthState.HEALTHY, 0, now, version=version)
    if reported is HealthState.UNKNOWN and not circuit_open:
        return Health(HealthState.UNKNOWN, 0, now, reason, version=version)
    failures = before.failure_count + 1
    out = circuit_open or (reported is HealthState.UNHEALTHY and failures >= FAILURES_TO_UNHEALTHY)
    state = HealthState.UNHEALTHY if out else HealthState.DEGRADED
    return Health(state, failures, now, reason, circuit_open, version)


def forget_failures(before: Health, now: datetime) -> Health:
    """The health of a capability that may be tried again."""
    return replace(Health(checked_at=now), version=before.version + 1)


def taken_or_given_back(before: Health, after: Health) -> bool:
    """Whether the capability leaves the choice or comes back to it, which other reports do not do."""
    return _out(before) != _out(after)


def _out(health: Health) -> bool:
    return health.circuit_open or health.state is HealthState.UNHEALTHY
