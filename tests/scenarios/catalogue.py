"""All scenarios by their numbers."""

from __future__ import annotations

from tests.scenarios import data, inputs, money, scaling, secrets, shares

NUMBERS = range(1, 38)
SCENARIOS = {
    scenario.number: scenario
    for group in (secrets, money, data, inputs, shares, scaling)
    for scenario in sorted(group.SCENARIOS, key=lambda each: each.number)
}
