"""Which reports of health are audited: those that take a capability out of the choice, or give it back."""

from __future__ import annotations

import pytest

from svc_registry.domain import Health, HealthState, availability_changed

UNKNOWN, WELL, SLOW = Health(), Health(HealthState.HEALTHY), Health(HealthState.DEGRADED, 1)
OUT, OPEN = Health(HealthState.UNHEALTHY, 3), Health(HealthState.UNHEALTHY, 3, circuit_open=True)


@pytest.mark.parametrize(("before", "after"), [(WELL, OUT), (SLOW, OPEN), (OUT, WELL), (OPEN, UNKNOWN)])
def test_leaving_the_choice_and_coming_back_is_audited(before: Health, after: Health) -> None:
    assert availability_changed(before, after)


@pytest.mark.parametrize(("before", "after"), [(UNKNOWN, WELL), (WELL, WELL), (WELL, SLOW), (OUT, OPEN), (OUT, OUT)])
def test_other_probes_are_not(before: Health, after: Health) -> None:
    assert not availability_changed(before, after)
