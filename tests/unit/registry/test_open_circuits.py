"""Who may close a circuit that one process reported open."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mesh.testing import FakeClock
from svc_registry.domain import CONFIRM_WITHIN_S, Health, HealthState, Report, apply_report, reset_health

NOW = FakeClock().now()
OPENED = apply_report(Health(), Report(HealthState.UNHEALTHY, "it fails", circuit_open=True, reporter="a"), NOW)
OTHERS = [HealthState.UNKNOWN, HealthState.HEALTHY, HealthState.DEGRADED, HealthState.UNHEALTHY]


def after(seconds: float, before: Health, state: HealthState, reporter: str, *, circuit_open: bool = False) -> Health:
    """The health after a report so many seconds later."""
    report = Report(state, "", circuit_open, reporter)
    return apply_report(before, report, NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("state", OTHERS)
def test_what_another_reports_leaves_the_circuit_open(state: HealthState) -> None:
    health = after(60, OPENED, state, "b")
    assert (health.state, health.circuit_open, health.reason) == (HealthState.UNHEALTHY, True, "it fails")
    assert (health.checked_at, health.version) == (NOW, OPENED.version + 1)


@pytest.mark.parametrize("state", [HealthState.UNKNOWN, HealthState.HEALTHY])
def test_its_reporter_closes_it(state: HealthState) -> None:
    health = after(1, OPENED, state, "a")
    assert (health.state, health.circuit_open) == (state, False)


def test_it_is_open_as_long_as_one_reporter_says_so() -> None:
    both = after(10, OPENED, HealthState.UNHEALTHY, "b", circuit_open=True)
    one = after(20, both, HealthState.HEALTHY, "b")
    assert one.circuit_open
    assert not after(30, one, HealthState.HEALTHY, "a").circuit_open


def test_without_confirmation_it_closes_with_the_next_report() -> None:
    assert after(CONFIRM_WITHIN_S - 1, OPENED, HealthState.HEALTHY, "b").circuit_open
    assert after(CONFIRM_WITHIN_S, OPENED, HealthState.HEALTHY, "b").state is HealthState.HEALTHY


def test_a_confirmation_keeps_it_open() -> None:
    confirmed = after(100, OPENED, HealthState.UNHEALTHY, "a", circuit_open=True)
    assert after(200, confirmed, HealthState.HEALTHY, "b").circuit_open


def test_a_reporter_says_itself_when_it_confirms() -> None:
    slow = Report(HealthState.UNHEALTHY, circuit_open=True, reporter="a", confirm_within_s=600)
    opened = apply_report(Health(), slow, NOW)
    assert after(599, opened, HealthState.HEALTHY, "b").circuit_open
    assert not after(600, opened, HealthState.HEALTHY, "b").circuit_open


def test_a_reset_closes_it_whoever_opened_it() -> None:
    reset = reset_health(OPENED, NOW)
    assert (reset.state, reset.circuit_open) == (HealthState.UNKNOWN, False)
    assert after(1, reset, HealthState.HEALTHY, "b").state is HealthState.HEALTHY


def test_one_of_an_older_release_holds_until_it_is_no_longer_confirmed() -> None:
    older = Health(HealthState.UNHEALTHY, 3, NOW, "down", circuit_open=True)
    assert after(CONFIRM_WITHIN_S - 1, older, HealthState.HEALTHY, "b").circuit_open
    assert not after(CONFIRM_WITHIN_S, older, HealthState.HEALTHY, "b").circuit_open
    assert not after(1, older, HealthState.HEALTHY, "").circuit_open


def test_reporters_are_bounded() -> None:
    health = Health()
    for number in range(100):
        health = after(number, health, HealthState.UNHEALTHY, f"p{number}", circuit_open=True)
    assert len(health.open_circuits) == 32
    assert "p99" in health.open_circuits
