"""The plans that the documentation shows can be run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from soma_documents import read_spec
from svc_executor.domain.references import resolve
from svc_executor.domain.task_dsl import StepType
from tests.unit.executor.plans import COMPILER

DOCS = Path(__file__).parents[3] / "docs"
PLANS = [
    pytest.param(found, id=f"{file.name}-{number}")
    for file in sorted(DOCS.rglob("*.md"))
    for number, found in enumerate(re.findall(r"^```json\n(.*?)^```", file.read_text(), re.MULTILINE | re.DOTALL))
    if '"tasks"' in found
]


def test_there_is_one_and_one_that_composes_a_document() -> None:
    tasks = [task for plan in PLANS for task in COMPILER.compile(json.loads(str(plan.values[0]))).tasks]
    assert StepType.COMPOSE_DOCUMENT in {task.step_type for task in tasks}


@pytest.mark.parametrize("text", PLANS)
def test_a_documented_plan_compiles_and_its_documents_are_read(text: str) -> None:
    plan = COMPILER.compile(json.loads(text))
    for task in plan.tasks:
        if task.step_type is StepType.COMPOSE_DOCUMENT:
            params = resolve(dict(task.params), lambda _: "A text.")
            assert isinstance(params, dict)
            assert read_spec(params).sections
