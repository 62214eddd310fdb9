"""Task DSL 1.0 for tests: the compiler, the errors that only meaning has, and plans of every shape."""

from __future__ import annotations

from hypothesis import strategies as st

from svc_executor.domain.task_dsl import StepType
from tests.unit.executor.rig import compiler

COMPILER = compiler()
MEANING = {
    "DUPLICATE_ID", "DANGLING_REFERENCE", "SELF_REFERENCE", "DUPLICATE_DEPENDENCY", "BAD_REFERENCE",
    "CIRCULAR_REFERENCE", "MODALITY_MISMATCH", "BAD_RUBRIC", "TOO_MANY_STEPS", "BAD_TEXT",
}  # fmt: skip
names = st.sampled_from(["a", "b", "c", "d", "e", "f"])
graphs = st.dictionaries(names, st.lists(names, max_size=3, unique=True), min_size=1)
plain = st.one_of(st.none(), st.booleans(), st.integers(-3, 300), st.floats(-2, 2), st.text(max_size=4))
written = st.one_of(plain, st.sampled_from(["1.0", "a", "b", "generate_text", "text", "png", "SKIP", "10x10"]))
anything = st.recursive(
    written, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
fields_of_task = {
    "task_id": names | anything,
    "step_type": st.sampled_from([*StepType]).map(str) | anything,
}
optional_of_task = {
    "modality": st.sampled_from(["text", "image"]) | anything,
    "task_type": anything,
    "depends_on": st.lists(names | anything, max_size=3) | anything,
    "params": st.dictionaries(st.text(max_size=3), anything, max_size=3) | anything,
    "constraints": st.fixed_dictionaries(
        {},
        optional={
            "format": anything, "max_resolution": anything, "width_px": anything, "duration_sec": anything,
            "style": anything, "other": anything,
        },
    ),
    "quality_gate": st.fixed_dictionaries({"enabled": st.booleans()}, optional={"rubric": anything}) | anything,
    "user_defaults": st.fixed_dictionaries({}, optional={"provider": anything, "model": anything}),
    "on_failure": st.sampled_from(["SKIP", "CONTINUE"]) | anything,
    "stranger": anything,
}  # fmt: skip
documents = st.fixed_dictionaries(
    {"version": st.just("1.0") | anything},
    optional={
        "tasks": st.lists(st.fixed_dictionaries(fields_of_task, optional=optional_of_task) | anything, max_size=3),
        "metadata": anything,
        "budget": st.fixed_dictionaries({}, optional={"max_cost_cents": anything, "max_duration_sec": anything}),
        "policy_overrides": anything,
        "stranger": anything,
    },
)
