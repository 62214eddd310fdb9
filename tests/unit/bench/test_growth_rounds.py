"""Calls are made to both meshes alike, and again to those methods that seem to grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.ids import rng
from svc_gateway.adapters.descriptors import Descriptors
from tests.bench.growth import measure
from tests.bench.growth.calls import fixed
from tests.bench.growth.measure import READ_CALLS, REPEATS, WARM, WRITE_CALLS, Growth, Side

if TYPE_CHECKING:
    from collections.abc import Sequence

READ, WRITE = "critic.v1.RubricService.GetRubric", "critic.v1.RubricService.CreateRubric"
TIMES = 10


class FakeWorld:
    """A mesh that answers after the seconds that are given for each method, or not at all."""

    def __init__(self, name: str, seconds: dict[str, float], calls: list[tuple[str, str]]) -> None:
        self.name = name
        self._seconds, self._calls = seconds, calls

    async def renew_tokens(self) -> None:
        """Nothing to renew."""

    async def timed(self, name: str, body: object, caller: str) -> tuple[dict[str, object], float]:
        self._calls.append((self.name, name))
        if self._seconds[name] < 0:
            raise RuntimeError("planted")
        return {}, self._seconds[name]


@pytest.fixture(autouse=True)
def _two_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once() -> None:
        return None

    Descriptors.read().load_generated()
    monkeypatch.setattr(measure, "CALLS", {READ: fixed(), WRITE: fixed()})
    monkeypatch.setattr(measure, "quiet", at_once)


async def measured(empty: dict[str, float], full: dict[str, float]) -> tuple[Growth, list[tuple[str, str]]]:
    growth, calls, logged = Growth(), list[tuple[str, str]](), list[str]()
    sides: Sequence[Side] = [
        Side(FakeWorld("empty", empty, calls), growth.empty),  # type: ignore[arg-type]
        Side(FakeWorld("full", full, calls), growth.full),  # type: ignore[arg-type]
    ]
    await measure.all_rounds(growth, sides, TIMES, rng(1), logged.append)
    return growth, calls


async def test_each_mesh_is_called_as_often_and_first_about_as_often() -> None:
    _, calls = await measured({READ: 1, WRITE: 1}, {READ: 1, WRITE: 1})
    pairs = [calls[index : index + 2] for index in range(0, len(calls), 2)]
    assert len(pairs) == (READ_CALLS + WRITE_CALLS) * (WARM + TIMES)
    assert all({side for side, _ in pair} == {"empty", "full"} and pair[0][1] == pair[1][1] for pair in pairs)
    first = sum(pair[0][0] == "empty" for pair in pairs)
    assert 0.3 * len(pairs) < first < 0.7 * len(pairs)


async def test_first_rounds_do_not_count() -> None:
    growth, _ = await measured({READ: 1, WRITE: 1}, {READ: 1, WRITE: 1})
    lengths = {name: (len(growth.empty[name]), len(growth.full[name])) for name in (READ, WRITE)}
    assert lengths == {READ: (READ_CALLS * TIMES,) * 2, WRITE: (WRITE_CALLS * TIMES,) * 2}


async def test_a_method_that_seems_to_grow_is_called_again_and_every_sample_counts() -> None:
    growth, _ = await measured({READ: 1, WRITE: 1}, {READ: 1, WRITE: 2})
    assert len(growth.full[READ]) == READ_CALLS * TIMES
    assert len(growth.full[WRITE]) == len(growth.empty[WRITE]) == WRITE_CALLS * TIMES * (1 + REPEATS)
    assert growth.ratio(WRITE) == 2


async def test_a_method_that_fails_in_one_mesh_is_not_called_again_and_has_no_ratio() -> None:
    growth, calls = await measured({READ: 1, WRITE: 1}, {READ: 1, WRITE: -1})
    assert growth.failed == [f"{WRITE}: planted"]
    assert calls.count(("full", WRITE)) == 1
    assert growth.ratio(WRITE) == float("inf")
    assert growth.ratio(READ) == 1
