"""What a schema cannot say: names that must be unique or exist, types that must agree, rubrics that must add up."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from svc_executor.domain.references import Reference, ReferenceKind, count_placeholders, references
from svc_executor.domain.task_dsl import KINDS, PlanError, StepType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from soma_providers.port import JsonValue

MAX_REFERENCES = 1_000
"""Most references in the params of one task: they are looked for again whenever the task is worked on."""
MAX_PLACEHOLDERS = 10_000
"""Most `${` in the params of one task, written as references or escaped."""
_WEIGHT_TOLERANCE = 1e-6
_STEP_REFERENCES = frozenset({ReferenceKind.STEP_ASSET, ReferenceKind.STEP_TEXT})


@dataclass(frozen=True)
class RawTask:
    """A task as written, at its place; only what has the right type is read from it."""

    index: int
    fields: Mapping[str, JsonValue]

    @property
    def pointer(self) -> str:
        """JSON pointer of the task."""
        return f"/tasks/{self.index}"

    @property
    def task_id(self) -> str:
        """Its name; empty when it has none."""
        return self.text("task_id")

    def text(self, name: str) -> str:
        """A text field; empty when it is absent or something else."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""

    @property
    def written_dependencies(self) -> Iterator[tuple[int, str]]:
        """Entries of depends_on with their index."""
        value = self.fields.get("depends_on")
        for index, name in enumerate(value if isinstance(value, list) else ()):
            if isinstance(name, str):
                yield index, name

    @property
    def references(self) -> Iterator[Reference]:
        """References in its params; of more than may be there, one more."""
        yield from islice(references(self.fields.get("params"), f"{self.pointer}/params"), MAX_REFERENCES + 1)

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Written and implied dependencies, each once, in the order they are met."""
        implied = (found.target for found in self.references if found.kind in _STEP_REFERENCES)
        return tuple(dict.fromkeys([*(name for _, name in self.written_dependencies), *implied]))


def raw_tasks(document: JsonValue) -> list[RawTask]:
    """The tasks of a document that are objects at all."""
    tasks = document.get("tasks") if isinstance(document, dict) else None
    return [
        RawTask(index, fields)
        for index, fields in enumerate(tasks if isinstance(tasks, list) else ())
        if isinstance(fields, dict)
    ]


def semantic_errors(tasks: Sequence[RawTask], max_steps: int) -> Iterator[PlanError]:
    """Every error of meaning but cycles."""
    if len(tasks) > max_steps:
        yield PlanError(
            "/tasks", "TOO_MANY_STEPS", f"{len(tasks)} steps are too many, at most {max_steps} may be given"
        )
    yield from _duplicates(tasks)
    known = {task.task_id for task in tasks}
    for task in tasks:
        yield from _dangling(task, known)
        yield from _references(task, known)
        yield from _modality(task)
        yield from _rubric(task)


def _duplicates(tasks: Sequence[RawTask]) -> Iterator[PlanError]:
    first: dict[str, int] = {}
    for task in tasks:
        if task.task_id in first:
            yield PlanError(
                f"{task.pointer}/task_id",
                "DUPLICATE_ID",
                f"{task.task_id!r} is already the name of task {first[task.task_id]}; each task needs its own",
            )
        elif task.task_id:
            first[task.task_id] = task.index


def _dangling(task: RawTask, known: set[str]) -> Iterator[PlanError]:
    counts: Counter[str] = Counter()
    for index, name in task.written_dependencies:
        pointer = f"{task.pointer}/depends_on/{index}"
        counts[name] += 1
        if name == task.task_id:
            yield PlanError(pointer, "SELF_REFERENCE", f"{name!r} cannot depend on itself")
        elif name not in known:
            yield PlanError(pointer, "DANGLING_REFERENCE", f"there is no task {name!r} to depend on")
        elif counts[name] > 1:
            yield PlanError(pointer, "DUPLICATE_DEPENDENCY", f"{name!r} is named twice; once is enough")


def _references(task: RawTask, known: set[str]) -> Iterator[PlanError]:
    if count_placeholders(task.fields.get("params")) > MAX_PLACEHOLDERS:
        message = f"more than {MAX_PLACEHOLDERS:,} times ${{, references and escaped ones, are too many for one task"
        yield PlanError(f"{task.pointer}/params", "TOO_MANY", message)
        return
    for number, found in enumerate(task.references):
        if number == MAX_REFERENCES:
            message = f"more than {MAX_REFERENCES:,} references are too many for one task"
            yield PlanError(f"{task.pointer}/params", "TOO_MANY", message)
        elif found.kind is ReferenceKind.MALFORMED:
            yield PlanError(
                found.pointer,
                "BAD_REFERENCE",
                f"{found.text!r} is no reference; write ${{step.asset}}, ${{step.text}} or ${{asset:<id>}}, "
                "or $${ for a plain ${",
            )
        elif found.kind is not ReferenceKind.STEP_TEXT and not found.is_entire_text:
            yield PlanError(
                found.pointer,
                "BAD_REFERENCE",
                f"{found.text!r} is an asset reference and must be the entire string value",
            )
        elif found.kind in _STEP_REFERENCES:
            yield from _target(task, found, known)


def _target(task: RawTask, found: Reference, known: set[str]) -> Iterator[PlanError]:
    if found.target == task.task_id:
        yield PlanError(found.pointer, "SELF_REFERENCE", f"{found.target!r} cannot refer to its own result")
    elif found.target not in known:
        yield PlanError(found.pointer, "DANGLING_REFERENCE", f"there is no task {found.target!r} to refer to")


def _modality(task: RawTask) -> Iterator[PlanError]:
    modality, step_type = task.text("modality"), task.text("step_type")
    if not modality or step_type not in set(StepType):
        return
    wanted = KINDS[StepType(step_type)].modality
    if modality != wanted:
        yield PlanError(
            f"{task.pointer}/modality",
            "MODALITY_MISMATCH",
            f"{step_type} makes {wanted}, not {modality}; leave modality out or write {wanted}",
        )


def _rubric(task: RawTask) -> Iterator[PlanError]:
    gate = task.fields.get("quality_gate")
    rubric = gate.get("rubric") if isinstance(gate, dict) else None
    criteria = rubric.get("criteria") if isinstance(rubric, dict) else None
    if not isinstance(criteria, list):
        return
    entries = [entry for entry in criteria if isinstance(entry, dict)]
    weights = [entry.get("weight") for entry in entries]
    numbers = [float(weight) for weight in weights if isinstance(weight, (int, float))]
    pointer = f"{task.pointer}/quality_gate/rubric/criteria"
    if len(numbers) == len(criteria) and not math.isclose(sum(numbers), 1.0, abs_tol=_WEIGHT_TOLERANCE):
        yield PlanError(pointer, "BAD_RUBRIC", f"the weights sum to {sum(numbers):g}; they must sum to 1")
    seen: set[str] = set()
    for index, entry in enumerate(criteria):
        dimension = entry.get("dimension") if isinstance(entry, dict) else None
        if isinstance(dimension, str) and dimension in seen:
            yield PlanError(
                f"{pointer}/{index}/dimension", "BAD_RUBRIC", f"{dimension} is scored twice; once is enough"
            )
        elif isinstance(dimension, str):
            seen.add(dimension)
