"""Each defect that was found has its scenario, and a test that covers it where it is not run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.scenarios.catalogue import NUMBERS, SCENARIOS
from tests.scenarios.scenario import Scenario, Verdict, WrongError, outcome

ROOT = Path(__file__).resolve().parents[3]


def is_there(place: str) -> bool:
    """Whether a test exists, named as `path::name`."""
    path, _, name = place.partition("::")
    file = ROOT / path
    functions = ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if file.is_file() else ()
    return any(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name for node in functions)


def test_every_number_has_its_scenario() -> None:
    assert sorted(SCENARIOS) == list(NUMBERS)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_scenario_names_a_test_that_exists(number: int) -> None:
    assert is_there(SCENARIOS[number].covered), SCENARIOS[number].covered


@pytest.mark.parametrize("number", NUMBERS)
def test_a_scenario_is_run_or_says_why_it_is_not(number: int) -> None:
    assert bool(SCENARIOS[number].why) == (SCENARIOS[number].run is None)


def test_a_test_that_is_not_there_is_seen() -> None:
    assert not is_there("tests/unit/scenarios/test_scenarios.py::test_nothing")
    assert not is_there("tests/unit/test_nothing.py::test_nothing")


async def wrong(_: object) -> str:
    raise WrongError("it is otherwise")


async def broken(_: object) -> str:
    raise LookupError("nowhere")


@pytest.mark.parametrize(("run", "happened"), [(wrong, "it is otherwise"), (broken, "LookupError: nowhere")])
async def test_whatever_a_scenario_raises_is_wrong(run: object, happened: str) -> None:
    scenario = Scenario(1, "", "", "", run)  # type: ignore[arg-type]
    found = await outcome(scenario, None)  # type: ignore[arg-type]
    assert (found.verdict, found.happened) == (Verdict.WRONG, happened)
