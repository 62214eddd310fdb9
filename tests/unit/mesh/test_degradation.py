"""Levels of degradation: one enum, with the numbers of the contract."""

from __future__ import annotations

import pytest

from mesh.degradation import DegradationLevel
from soma.gateway.v1 import health_service_pb2


def test_numbers_and_names_are_those_of_the_contract() -> None:
    numbers = {level.name: level.value for level in DegradationLevel}
    contract = dict(health_service_pb2.DegradationLevel.items())
    assert {f"DEGRADATION_LEVEL_{name.replace('UNKNOWN', 'UNSPECIFIED')}": n for name, n in numbers.items()} == contract


def test_a_number_of_a_newer_version_is_an_unknown_level() -> None:
    assert DegradationLevel(99) is DegradationLevel.UNKNOWN


def test_an_unknown_level_counts_as_the_worst() -> None:
    worst_last = sorted(DegradationLevel, key=lambda level: level.severity)
    assert [level.severity for level in worst_last] == [0, 1, 2, 3, 4, 5]
    assert (worst_last[0], worst_last[-1]) == (DegradationLevel.NONE, DegradationLevel.UNKNOWN)


@pytest.mark.parametrize("level", DegradationLevel)
def test_a_level_is_found_by_its_severity(level: DegradationLevel) -> None:
    assert DegradationLevel.from_severity(level.severity) is level
