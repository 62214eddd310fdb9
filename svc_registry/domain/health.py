"""How reports become a state: one bad answer degrades, three in a row or an open circuit take out."""

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
"""For how long an open circuit holds without confirmation where its reporter does not say, in seconds."""
MAX_REPORTERS = 32
"""Reporters of open circuits that are told apart; beyond, the one whose report lapses first is forgotten."""


@dataclass(frozen=True)
class Report:
    """What one process saw of a capability. `reporter` names the process; "" is one of an older release.

    An open circuit that is not confirmed for `confirm_within_s` seconds counts as closed.
    """

    state: HealthState
    reason: str = ""
    circuit_open: bool = False
    reporter: str = ""
    confirm_within_s: int = CONFIRM_WITHIN_S


def observe(before: Health, report: Report, now: datetime) -> Health:
    """The health after a report.

    HEALTHY clears the count; a report of DEGRADED or UNHEALTHY adds one. UNHEALTHY holds from the third failure in a
    row, or at once while a circuit is open; before that the capability counts as DEGRADED, so that one lost probe
    does not take it away. While a circuit of another reporter is open, a report without one changes nothing but what
    its own reporter said.
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
    out = report.state is HealthState.UNHEALTHY and failures >= FAILURES_TO_UNHEALTHY
    state = HealthState.UNHEALTHY if out else HealthState.DEGRADED
    return Health(state, failures, now, report.reason, version=version)


def _open_circuits(before: Health, report: Report, now: datetime) -> Mapping[str, datetime]:
    """Who reports the circuit open and until when that holds, after this report."""
    known = before.open_circuits if before.circuit_open else {}
    if before.circuit_open and not known and before.checked_at is not None:
        # An older release did not note who reported it.
        known = {"": before.checked_at + timedelta(seconds=CONFIRM_WITHIN_S)}
    left = {who: until for who, until in known.items() if who != report.reporter and now < until}
    if report.circuit_open:
        left[report.reporter] = now + timedelta(seconds=report.confirm_within_s)
    latest = sorted(left.items(), key=lambda entry: entry[1], reverse=True)
    return dict(latest[:MAX_REPORTERS])


def forget_failures(before: Health, now: datetime) -> Health:
    """The health of a capability that may be tried again."""
    return replace(Health(checked_at=now), version=before.version + 1)


def availability_changed(before: Health, after: Health) -> bool:
    """Whether the capability leaves the choice or comes back to it, which other reports do not do."""
    return _unavailable(before) != _unavailable(after)


def _unavailable(health: Health) -> bool:
    return health.circuit_open or health.state is HealthState.UNHEALTHY
