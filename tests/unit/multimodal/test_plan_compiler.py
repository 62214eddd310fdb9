"""Compiling Task DSL 1.0."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from svc_executor.domain.compiler import PlanRefusedError
from svc_executor.domain.references import references, resolve
from svc_executor.domain.task_dsl import KINDS, OnFailure, StepType
from tests.unit.executor.plans import COMPILER, MEANING
from tests.unit.executor.rig import SCHEMA, compiler, plan, task

if TYPE_CHECKING:
    from soma_providers.port import JsonValue
    from svc_executor.domain.task_dsl import Plan, PlanError


def errors(document: dict[str, JsonValue]) -> list[PlanError]:
    with pytest.raises(PlanRefusedError) as caught:
        COMPILER.compile(document)
    return list(caught.value.errors)


def found(document: dict[str, JsonValue]) -> list[tuple[str, str]]:
    return [(error.pointer, error.code) for error in errors(document)]


def compiled(*tasks: dict[str, JsonValue], **fields: JsonValue) -> Plan:
    return COMPILER.compile(plan(*tasks, **fields))


@pytest.mark.parametrize("step_type", list(StepType))
def test_each_step_type_has_its_modality_and_task_type(step_type: StepType) -> None:
    only = compiled(task("a", step_type.value)).tasks[0]
    assert (only.modality, only.task_type) == (KINDS[step_type].modality, KINDS[step_type].task_type)
    assert only.on_failure is OnFailure.FAIL_JOB


def test_a_task_may_name_another_ladder() -> None:
    assert compiled(task("a", task_type="chart")).tasks[0].task_type == "chart"


def test_layers_hold_what_may_run_at_once() -> None:
    result = compiled(
        task("d", depends_on=["b", "c"]), task("b", depends_on=["a"]), task("c", depends_on=["a"]), task("a")
    )
    assert result.layers == (("a",), ("b", "c"), ("d",))


def test_references_in_params_are_dependencies() -> None:
    result = compiled(
        task("doc", "compose_document", params={"s": [{"t": "x ${a.text}"}, "${b.asset}"]}), task("a"), task("b")
    )
    assert result.task("doc").depends_on == ("a", "b")
    assert result.layers == (("a", "b"), ("doc",))


def test_money_and_time_of_the_budget_are_read() -> None:
    result = compiled(task("a"), budget={"max_cost_cents": 12.5, "max_duration_sec": 60})
    assert (result.max_cost_micro_usd, result.max_duration_s) == (125_000, 60)


def test_a_gate_of_the_task_wins_over_the_plan_and_the_plan_over_the_setting() -> None:
    tasks = [task("a"), task("b", quality_gate={"enabled": False})]
    on_by_setting = compiler(quality_gates=True)
    assert [each.requires_evaluation for each in on_by_setting.compile(plan(*tasks)).tasks] == [True, False]
    off_by_plan = plan(*tasks, policy_overrides={"quality_gates_enabled": False})
    assert [each.requires_evaluation for each in on_by_setting.compile(off_by_plan).tasks] == [False, False]
    on_by_plan = plan(*tasks, policy_overrides={"quality_gates_enabled": True})
    assert [each.requires_evaluation for each in COMPILER.compile(on_by_plan).tasks] == [True, False]


def test_all_errors_are_reported_at_once_in_the_order_of_the_plan() -> None:
    document = plan(
        task("a", "generate_text", modality="image", colour="red", params={"p": "${b.text} ${nobody.text} ${what"}),
        task("b", depends_on=["a", "ghost", "b"], on_failure="PANIC"),
        task("a", quality_gate={"enabled": "yes"}),
        {"step_type": "sing"},
        budget={"max_cost_cents": -1, "max_duration_sec": 1.5, "currency": "EUR"},
        extra=1,
    )
    assert found(document) == [
        ("/budget/currency", "UNKNOWN_FIELD"),
        ("/budget/max_cost_cents", "OUT_OF_RANGE"),
        ("/budget/max_duration_sec", "WRONG_TYPE"),
        ("/extra", "UNKNOWN_FIELD"),
        ("/tasks/0/colour", "UNKNOWN_FIELD"),
        ("/tasks/0/depends_on", "CIRCULAR_REFERENCE"),
        ("/tasks/0/modality", "MODALITY_MISMATCH"),
        ("/tasks/0/params/p", "BAD_REFERENCE"),
        ("/tasks/0/params/p", "DANGLING_REFERENCE"),
        ("/tasks/1/depends_on/1", "DANGLING_REFERENCE"),
        ("/tasks/1/depends_on/2", "SELF_REFERENCE"),
        ("/tasks/1/on_failure", "UNKNOWN_VALUE"),
        ("/tasks/2/quality_gate/enabled", "WRONG_TYPE"),
        ("/tasks/2/task_id", "DUPLICATE_ID"),
        ("/tasks/3/step_type", "UNKNOWN_VALUE"),
        ("/tasks/3/task_id", "MISSING_FIELD"),
    ]


def test_a_cycle_is_named() -> None:
    cycle = plan(task("a", depends_on=["b"]), task("b", depends_on=["c"]), task("c", depends_on=["a"]), task("d"))
    (error,) = errors(cycle)
    assert error.message == "these tasks wait for each other: a → b → c → a"


def test_two_cycles_are_two_errors() -> None:
    document = plan(
        task("a", depends_on=["b"]),
        task("b", depends_on=["a"]),
        task("c", depends_on=["d"]),
        task("d", depends_on=["c"]),
    )
    assert found(document) == [
        ("/tasks/0/depends_on", "CIRCULAR_REFERENCE"),
        ("/tasks/2/depends_on", "CIRCULAR_REFERENCE"),
    ]


@pytest.mark.parametrize(
    ("document", "pointer", "code"),
    [
        ({"version": "2.0", "tasks": [task("a")]}, "/version", "UNKNOWN_VALUE"),
        ({"version": "1.0"}, "/tasks", "MISSING_FIELD"),
        ({"version": "1.0", "tasks": []}, "/tasks", "TOO_FEW"),
        ({"version": "1.0", "tasks": "a"}, "/tasks", "WRONG_TYPE"),
        ({"version": "1.0", "tasks": [7]}, "/tasks/0", "WRONG_TYPE"),
        (plan(task("a b")), "/tasks/0/task_id", "BAD_FORMAT"),
        (plan(task("a", depends_on=["b", "b"]), task("b")), "/tasks/0/depends_on/1", "DUPLICATE_DEPENDENCY"),
        (plan(task("a"), budget={"max_cost_cents": 0}), "/budget/max_cost_cents", "OUT_OF_RANGE"),
        (plan(task("a"), budget={"max_cost_cents": float("nan")}), "/budget/max_cost_cents", "OUT_OF_RANGE"),
        (plan(task("a", constraints={"format": ["PNG"]})), "/tasks/0/constraints/format/0", "BAD_FORMAT"),
        (plan(task("a", constraints={"format": 3})), "/tasks/0/constraints/format", "WRONG_TYPE"),
        (plan(task("a", constraints={"max_resolution": "wide"})), "/tasks/0/constraints/max_resolution", "BAD_FORMAT"),
        (plan(task("a", params={"p": "see ${b.asset}"}), task("b")), "/tasks/0/params/p", "BAD_REFERENCE"),
        (plan(task("a", params={"p": "${a.text}"})), "/tasks/0/params/p", "SELF_REFERENCE"),
        (plan(task("a", params={"a/b": {"~": ["${x.text}"]}})), "/tasks/0/params/a~1b/~0/0", "DANGLING_REFERENCE"),
        (plan(task("a", params={"p": "\x00"})), "/tasks/0/params/p", "BAD_TEXT"),
        (
            plan(
                task(
                    "a",
                    quality_gate={
                        "enabled": True,
                        "rubric": {
                            "min_overall_score": 0.5,
                            "criteria": [{"dimension": "clarity", "weight": 0.4, "threshold": 0.5}],
                        },
                    },
                )
            ),
            "/tasks/0/quality_gate/rubric/criteria",
            "BAD_RUBRIC",
        ),
    ],
)
def test_one_error_is_found_at_its_place(document: dict[str, JsonValue], pointer: str, code: str) -> None:
    assert found(document) == [(pointer, code)]


def test_201_steps_are_too_many() -> None:
    codes = {code for _, code in found(plan(*(task(f"t{number}") for number in range(201))))}
    assert codes == {"TOO_MANY", "TOO_MANY_STEPS"}


def test_cycles_are_looked_for_among_as_many_steps_as_a_plan_may_have() -> None:
    pairs = [task(f"t{number}", depends_on=[f"t{number ^ 1}"]) for number in range(2_000)]
    codes = Counter(code for _, code in found(plan(*pairs)))
    assert codes == {"CIRCULAR_REFERENCE": 100, "TOO_MANY": 1, "TOO_MANY_STEPS": 1}


def test_of_very_many_errors_the_first_thousand_are_looked_for() -> None:
    assert len(found(plan(task("a", depends_on=[1] * 5_000)))) == 1_000


@pytest.mark.parametrize(("count", "codes"), [(1_000, []), (1_001, ["TOO_MANY"]), (100_000, ["TOO_MANY"])])
def test_a_task_has_at_most_a_thousand_references(count: int, codes: list[str]) -> None:
    document = plan(task("a", params={"p": "${b.text}" * count}), task("b"))
    assert (found(document) if codes else []) == [("/tasks/0/params", code) for code in codes]
    if not codes:
        COMPILER.compile(document)


@pytest.mark.parametrize(("count", "codes"), [(10_000, []), (10_001, ["TOO_MANY"])])
def test_a_task_has_at_most_ten_thousand_escaped_references(count: int, codes: list[str]) -> None:
    document = plan(task("a", params={"p": ["$${b.text}" * count]}))
    assert (found(document) if codes else []) == [("/tasks/0/params", code) for code in codes]
    if not codes:
        COMPILER.compile(document)


def test_200_steps_in_a_row_compile() -> None:
    chain = [task(f"t{number}", depends_on=[f"t{number - 1}"] if number else []) for number in range(200)]
    assert len(compiled(*chain).layers) == 200


def test_a_plan_may_limit_the_cost_tier() -> None:
    assert COMPILER.compile(plan(task("a"), policy_overrides={"max_cost_tier": "low"})).max_cost_tier == "low"
    assert COMPILER.compile(plan(task("a"))).max_cost_tier == ""
    [error] = errors(plan(task("a"), policy_overrides={"max_cost_tier": "cheap"}))
    assert error.pointer == "/policy_overrides/max_cost_tier"


def test_a_doubled_dollar_writes_a_plain_reference() -> None:
    assert list(references("cost $${x} and $${")) == []
    assert resolve("cost $${x}, ${a.text}", lambda _: "5") == "cost ${x}, 5"


def test_a_text_that_looks_like_a_reference_is_not_resolved_again() -> None:
    assert resolve("${a.text}", lambda _: "${b.text}") == "${b.text}"


REFERENCE = (SCHEMA.parents[2] / "docs" / "multimodal" / "TASK_DSL.md").read_text(encoding="utf-8")


def test_the_example_of_the_reference_compiles() -> None:
    example = REFERENCE.partition("```json")[2].partition("```")[0]
    assert COMPILER.compile(json.loads(example)).layers == (("intro", "architecture"), ("document",))


def test_the_reference_names_every_code_step_type_and_field() -> None:
    schema = json.loads(SCHEMA.read_text())
    task_fields = schema["$defs"]["task"]["properties"]
    named = {*MEANING, *map(str, StepType), *task_fields, *task_fields["constraints"]["properties"]}
    named |= {*schema["properties"]["policy_overrides"]["properties"], *schema["properties"]["budget"]["properties"]}
    assert [name for name in sorted(named) if name not in REFERENCE] == []
