"""How reports change health: a failure makes it DEGRADED, three in a row or an open circuit UNHEALTHY."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from svc_registry.domain.model import Health, HealthState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

FAILURES_TO_UNHEALTHY = 3
CONFIRM_WITHIN_S = 150
"""Seconds after which an unconfirmed open circuit counts as closed, when its reporter sets no other time."""
MAX_REPORTERS = 32
"""Most reporters of open circuits that are stored; beyond, those whose reports expire first are dropped."""


@dataclass(frozen=True)
class Report:
    """What one process observed of a capability. `reporter` is the process; it is "" in an older release.

    An open circuit that is not reported again within `confirm_within_s` seconds counts as closed.
    """

    state: HealthState
    reason: str = ""
    circuit_open: bool = False
    reporter: str = ""
    confirm_within_s: int = CONFIRM_WITHIN_S


def apply_report(before: Health, report: Report, now: datetime) -> Health:
    """Returns the health after a report.

    HEALTHY resets the failure count; DEGRADED and UNHEALTHY increment it. The state is UNHEALTHY from the third failure
    in a row, or at once while a circuit is open; before that it is DEGRADED, so that one lost probe does not exclude
    the capability. While a circuit of another reporter is open, a report of a closed one only removes the entry of its
    own reporter.
    """
    version = before.version + 1
    circuits = _open_circuits(before, report, now)
    if report.circuit_open:
        failures = before.failure_count + 1
        return Health(HealthState.UNHEALTHY, failures, now, report.reason, True, version, circuits)
    if circuits:
        return replace(before, version=version, open_circuits=circuits)
    if report.state is HealthState.HEALTHY:
        return Health(HealthState.HEALTHY, 0, now, version=version)
    if report.state is HealthState.UNKNOWN:
        return Health(HealthState.UNKNOWN, 0, now, report.reason, version=version)
    failures = before.failure_count + 1
    unhealthy = report.state is HealthState.UNHEALTHY and failures >= FAILURES_TO_UNHEALTHY
    state = HealthState.UNHEALTHY if unhealthy else HealthState.DEGRADED
    return Health(state, failures, now, report.reason, version=version)


def _open_circuits(before: Health, report: Report, now: datetime) -> Mapping[str, datetime]:
    """Returns the reporters of an open circuit after this report, each with the time at which its report expires."""
    reported = before.open_circuits if before.circuit_open else {}
    if before.circuit_open and not reported and before.checked_at is not None:
        # An older release did not store the reporter.
        reported = {"": before.checked_at + timedelta(seconds=CONFIRM_WITHIN_S)}
    current = {
        reporter: expires_at
        for reporter, expires_at in reported.items()
        if reporter != report.reporter and now < expires_at
    }
    if report.circuit_open:
        current[report.reporter] = now + timedelta(seconds=report.confirm_within_s)
    latest = sorted(current.items(), key=lambda entry: entry[1], reverse=True)
    return dict(latest[:MAX_REPORTERS])


def reset_health(before: Health, now: datetime) -> Health:
    """Returns the health of a capability whose failures were reset."""
    return replace(Health(checked_at=now), version=before.version + 1)


def availability_changed(before: Health, after: Health) -> bool:
    """Whether selections exclude the capability from now on, or include it again."""
    return _is_unavailable(before) != _is_unavailable(after)


def _is_unavailable(health: Health) -> bool:
    return health.circuit_open or health.state is HealthState.UNHEALTHY
