"""The measure of growth calls every method of the contracts."""

from __future__ import annotations

from tests.bench.growth.calls import CALLERS, CALLS
from tests.bench.growth.measure import forgotten
from tests.e2e.test_tenant_matrix import methods

NAMES = [method.full_name for method in methods()]


def test_no_method_is_forgotten() -> None:
    assert forgotten(NAMES) == []


def test_a_method_without_a_call_would_be_named() -> None:
    assert forgotten([*NAMES, "soma.critic.v1.CriticService.Planted"]) == ["critic.v1.CriticService.Planted"]


def test_nothing_is_called_that_is_not_there() -> None:
    assert set(CALLS) | set(CALLERS) <= {name.removeprefix("soma.") for name in NAMES}
