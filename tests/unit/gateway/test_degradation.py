"""How the mesh's level is computed from checks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.degradation import DegradationLevel
from svc_gateway.domain.degradation import (
    Component,
    HealthTracker,
    Observation,
    RecentCalls,
    State,
    Thresholds,
    assess_mesh,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = Observation(ok=True, response_s=0.01)
BAD = Observation(ok=False, response_s=0.01, reason="cannot be reached")


def tracker(*, critical: bool = False, hold_s: float = 0.0) -> HealthTracker:
    return HealthTracker(Component("part", critical), Thresholds(min_hold_s=hold_s))


def test_unchecked_part_is_unknown_and_not_healthy() -> None:
    part = tracker().component
    assert (part.state, part.level) == (State.UNKNOWN, DegradationLevel.UNKNOWN)


@pytest.mark.parametrize(("seen", "state"), [(GOOD, State.HEALTHY), (BAD, State.UNHEALTHY)])
def test_first_check_counts_at_once(seen: Observation, state: State) -> None:
    assert tracker().observe(seen, AT, 0).state is state


@pytest.mark.parametrize(("critical", "level"), [(False, DegradationLevel.SEVERE), (True, DegradationLevel.CRITICAL)])
def test_lost_part_is_severe_and_a_critical_one_critical(critical: bool, level: DegradationLevel) -> None:
    assert tracker(critical=critical).observe(BAD, AT, 0).level is level


def test_one_failure_changes_nothing_and_two_do() -> None:
    part = tracker()
    part.observe(GOOD, AT, 0)
    assert part.observe(BAD, AT, 1).state is State.HEALTHY
    assert part.observe(BAD, AT, 2).state is State.UNHEALTHY


@pytest.mark.parametrize(
    ("seconds", "level"),
    [
        (0.1, DegradationLevel.NONE),
        (6, DegradationLevel.MINOR),
        (11, DegradationLevel.MODERATE),
        (16, DegradationLevel.SEVERE),
    ],
)
def test_slow_part_is_degraded_by_its_response_time(seconds: float, level: DegradationLevel) -> None:
    assert tracker().observe(Observation(ok=True, response_s=seconds), AT, 0).level is level


def test_share_of_failed_checks_degrades_a_part_that_answers() -> None:
    part = tracker()
    for number in range(20):
        part.observe(BAD if number % 4 == 3 else GOOD, AT, number)
    for number in range(2):
        part.observe(GOOD, AT, 20 + number)
    assert part.component.level is DegradationLevel.MODERATE
    assert "failed" in part.component.reason


def calls(count: int = 100, *, p95_s: float = 0.01, errors: float = 0.0, unavailable: float = 0.0) -> Observation:
    return Observation(ok=True, response_s=0.01, calls=RecentCalls(count, p95_s, errors, unavailable))


@pytest.mark.parametrize(
    ("seconds", "level"),
    [
        (0.1, DegradationLevel.NONE),
        (6, DegradationLevel.MINOR),
        (11, DegradationLevel.MODERATE),
        (16, DegradationLevel.SEVERE),
    ],
)
def test_part_whose_checks_are_quick_is_degraded_by_its_slow_calls(seconds: float, level: DegradationLevel) -> None:
    part = tracker().observe(calls(p95_s=seconds), AT, 0)
    assert (part.level, part.state, part.response_s) == (level, State.HEALTHY, max(seconds, 0.01))


def test_the_version_that_a_part_told_last_is_kept() -> None:
    part = tracker()
    assert part.observe(replace(GOOD, version="1.2.3"), AT, 0).version == "1.2.3"
    assert part.observe(BAD, AT, 1).version == "1.2.3"
    for _ in range(3):
        part.observe_unknown("nobody says")
    assert (part.component.state, part.component.version) == (State.UNKNOWN, "1.2.3")
    assert part.observe(replace(GOOD, version="1.3.0"), AT, 2).version == "1.3.0"


@pytest.mark.parametrize(
    ("share", "level"),
    [(0.05, DegradationLevel.NONE), (0.15, DegradationLevel.MINOR), (0.3, DegradationLevel.MODERATE)],
)
def test_share_of_failed_calls_degrades_a_part(share: float, level: DegradationLevel) -> None:
    part = tracker().observe(calls(errors=share), AT, 0)
    assert part.level is level
    assert ("calls failed" in part.reason) is (level is not DegradationLevel.NONE)


@pytest.mark.parametrize(("critical", "level"), [(False, DegradationLevel.SEVERE), (True, DegradationLevel.CRITICAL)])
def test_part_whose_calls_open_circuit_breakers_is_as_degraded_as_a_lost_one(
    critical: bool, level: DegradationLevel
) -> None:
    part = tracker(critical=critical).observe(calls(unavailable=0.5, errors=0.5), AT, 0)
    assert (part.level, part.reason) == (level, "50% of the last calls got no response")


def test_few_calls_are_no_evidence() -> None:
    part = tracker().observe(calls(Thresholds().min_calls - 1, p95_s=60, errors=1, unavailable=1), AT, 0)
    assert part.level is DegradationLevel.NONE


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_level_is_held_for_ten_seconds(outcomes: list[bool]) -> None:
    part = tracker(hold_s=10)
    changes: list[float] = []
    level = part.component.level
    for second, ok in enumerate(outcomes):
        now = part.observe(GOOD if ok else BAD, AT, float(second)).level
        if now is not level:
            changes.append(second)
            level = now
    assert len(changes) >= 1
    assert all(later - earlier >= 10 for earlier, later in pairwise(changes[1:]))


def test_level_changes_once_it_was_held() -> None:
    part = tracker(hold_s=10)
    levels = [part.observe(GOOD if second < 3 else BAD, AT, float(second)).level for second in range(20)]
    assert [second for second in range(1, 20) if levels[second] is not levels[second - 1]] == [10]


def component(name: str, level: DegradationLevel, *, critical: bool = False) -> Component:
    state = (
        State.UNKNOWN
        if level is DegradationLevel.UNKNOWN
        else State.UNHEALTHY
        if level >= DegradationLevel.SEVERE
        else State.HEALTHY
    )
    return Component(name, critical, state=state, level=level, reason="why" if level > DegradationLevel.NONE else "")


def test_mesh_is_as_degraded_as_its_worst_part() -> None:
    report = assess_mesh((component("b", DegradationLevel.SEVERE), component("a", DegradationLevel.NONE)), AT)
    assert (report.level, report.reason, report.unhealthy) == (DegradationLevel.SEVERE, "b: why", ("b",))
    assert [part.name for part in report.components] == ["a", "b"]


def test_mesh_is_unknown_until_critical_parts_were_checked() -> None:
    report = assess_mesh(
        (component("a", DegradationLevel.NONE), component("db", DegradationLevel.UNKNOWN, critical=True)), AT
    )
    assert (report.level, report.reason) == (DegradationLevel.UNKNOWN, "not checked yet: db")


def test_unknown_part_is_named_and_does_not_count_as_healthy() -> None:
    report = assess_mesh((component("a", DegradationLevel.NONE), component("b", DegradationLevel.UNKNOWN)), AT)
    assert (report.level, report.unknown, report.unhealthy) == (DegradationLevel.NONE, ("b",), ())
    assert report.reason == "nothing is known of b"


def test_mesh_of_which_nothing_is_known_is_unknown() -> None:
    assert assess_mesh((component("a", DegradationLevel.UNKNOWN),), AT).level is DegradationLevel.UNKNOWN


def test_mesh_without_faults_gives_no_reason() -> None:
    report = assess_mesh((component("a", DegradationLevel.NONE),), AT)
    assert (report.level, report.reason, report.unhealthy) == (DegradationLevel.NONE, "", ())
