"""The compiler of Task DSL documents."""

from __future__ import annotations

import math
from itertools import chain, islice
from typing import TYPE_CHECKING

from svc_executor.domain.compiler.graph import cycles, layers
from svc_executor.domain.compiler.semantics import RawTask, raw_tasks, semantic_errors
from svc_executor.domain.compiler.structure import Structure
from svc_executor.domain.task_dsl import (
    KINDS,
    MAX_STEPS,
    MICRO_USD_PER_CENT,
    OnFailure,
    Plan,
    PlanError,
    StepType,
    Task,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from soma_providers.port import JsonValue


MAX_ERRORS = 1_000
"""Most errors that are looked for."""


class PlanRefusedError(Exception):
    """A document that is no plan; `errors` are ordered by place."""

    def __init__(self, errors: Sequence[PlanError]) -> None:
        super().__init__(f"the plan has {len(errors)} error{'s' if len(errors) > 1 else ''}")
        self.errors = tuple(errors)


class Compiler:
    """Turns documents into plans. `quality_gates` is whether steps are evaluated when neither they nor the plan say."""

    def __init__(
        self, schema: Mapping[str, JsonValue], *, max_steps: int = MAX_STEPS, quality_gates: bool = False
    ) -> None:
        self._structure = Structure(schema)
        self._max_steps = max_steps
        self._quality_gates = quality_gates

    def compile(self, document: Mapping[str, JsonValue]) -> Plan:
        """The plan of a document; raises PlanRefusedError with every error at once, of many the first `MAX_ERRORS`."""
        tasks = raw_tasks(document)
        # Cycles are looked for among as many tasks as a plan may have: that takes time by the square of their number.
        found = chain(
            semantic_errors(tasks, self._max_steps),
            _cycle_errors(tasks[: self._max_steps]),
            self._structure.errors(document),
        )
        errors = set(islice(found, MAX_ERRORS))
        if errors:
            raise PlanRefusedError(sorted(errors, key=lambda error: (pointer_order(error.pointer), error.code)))
        return self._plan(document, tasks)

    def _plan(self, document: Mapping[str, JsonValue], tasks: Sequence[RawTask]) -> Plan:
        own = _object(document, "policy_overrides")
        budget = _object(document, "budget")
        gates = bool(own.get("quality_gates_enabled", self._quality_gates))
        return Plan(
            title=_text(_object(document, "metadata"), "title"),
            tasks=tuple(_task(task, gates=gates) for task in tasks),
            layers=layers({task.task_id: task.dependencies for task in tasks}),
            max_cost_micro_usd=math.ceil(_number(budget, "max_cost_cents") * MICRO_USD_PER_CENT),
            max_duration_s=int(_number(budget, "max_duration_sec")),
            keep_on_failure=bool(own.get("keep_assets_on_failure", False)),
            data_classification=_text(own, "data_classification"),
            persona=_text(own, "persona"),
            capsule=_text(own, "capsule"),
            max_cost_tier=_text(own, "max_cost_tier"),
        )


def pointer_order(pointer: str) -> tuple[tuple[bool, int, str], ...]:
    """Sort key that puts JSON pointers in the order of a document: indexes as numbers, names as text."""
    tokens = pointer.split("/")[1:]
    return tuple((not token.isdecimal(), int(token) if token.isdecimal() else 0, token) for token in tokens)


def _cycle_errors(tasks: Sequence[RawTask]) -> Iterator[PlanError]:
    index = {task.task_id: task.index for task in reversed(tasks)}
    edges = {
        task.task_id: [name for name in task.dependencies if name in index and name != task.task_id]
        for task in tasks
        if index[task.task_id] == task.index
    }
    for cycle in cycles(edges):
        yield PlanError(
            f"/tasks/{index[cycle[0]]}/depends_on",
            "CIRCULAR_REFERENCE",
            f"these tasks wait for each other: {' → '.join((*cycle, cycle[0]))}",
        )


def _task(raw: RawTask, *, gates: bool) -> Task:
    step_type = StepType(raw.text("step_type"))
    gate = _object(raw.fields, "quality_gate")
    rubric = gate.get("rubric", "")
    defaults = _object(raw.fields, "user_defaults")
    return Task(
        task_id=raw.task_id,
        index=raw.index,
        step_type=step_type,
        modality=KINDS[step_type].modality,
        task_type=raw.text("task_type") or KINDS[step_type].task_type,
        depends_on=raw.dependencies,
        params=_object(raw.fields, "params"),
        constraints=_object(raw.fields, "constraints"),
        requires_evaluation=bool(gate.get("enabled", gates)),
        rubric=rubric if isinstance(rubric, (str, dict)) else "",
        preferred_provider=_text(defaults, "provider"),
        preferred_tool=_text(defaults, "model"),
        on_failure=OnFailure(raw.text("on_failure") or OnFailure.FAIL_JOB),
    )


def _object(fields: Mapping[str, JsonValue], name: str) -> dict[str, JsonValue]:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def _text(fields: Mapping[str, JsonValue], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _number(fields: Mapping[str, JsonValue], name: str) -> float:
    value = fields.get(name)
    return float(value) if isinstance(value, (int, float)) else 0.0
