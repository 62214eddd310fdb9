"""What a step asks of the selector."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from soma_providers.port import JsonValue, Usage, prompt_of
from svc_executor.domain.job import CallerIdentity, Job, JobOptions, Step
from svc_executor.domain.prompts import expected_labels_of, requested_text, shorten
from svc_executor.domain.run import JobRun, SelectInput
from svc_executor.domain.selection_requests import selection_request_of
from tests.unit.executor.rig import compiler, plan, task

if TYPE_CHECKING:
    from svc_executor.domain.peers import SelectionRequest

ONE_CALL = Usage()


def selection_request(
    step_type: str = "generate_diagram",
    left: int = 9,
    units: Usage = ONE_CALL,
    **fields: JsonValue,
) -> SelectionRequest:
    only = compiler().compile(plan(task("a", step_type, **fields))).tasks[0]
    options = JobOptions(data_classification="sensitive", persona="p", capsule="c", max_cost_tier="low")
    job = Job("job", CallerIdentity("tenant-a", "user-1"), options, datetime(2026, 1, 1, tzinfo=UTC), session_id="s")
    select_input = SelectInput(JobRun("tenant-a", "job", 1), "a", 2, ["x@y"], "it failed", "UNAVAILABLE")
    step = Step("job", only)
    return selection_request_of(
        job, step, select_input, only.params, replaced=None, max_cost_micro_usd=left, units=units
    )


def test_constraints_become_requirements() -> None:
    asked = selection_request(
        constraints={"format": ["png", "svg"], "max_resolution": "1600x900", "source_language": "mermaid"}
    )
    assert (asked.formats, asked.width_px, asked.height_px) == (("png", "svg"), 1600, 900)
    assert asked.source_language == "mermaid"


def test_a_width_wins_over_the_largest_resolution() -> None:
    assert selection_request(constraints={"max_resolution": "1600x900", "width_px": 800}).width_px == 800


def test_context_of_job_and_attempt_is_passed_on() -> None:
    asked = selection_request()
    assert (asked.job_id, asked.step_id, asked.attempt, asked.session_id) == ("job", "a", 2, "s")
    assert (asked.data_classification, asked.persona, asked.capsule) == ("sensitive", "p", "c")
    assert (asked.exclude, asked.fallback_reason, asked.max_cost_micro_usd) == (("x@y",), "it failed", 9)
    assert asked.max_cost_tier == "low"


def test_the_same_attempt_asks_under_the_same_id() -> None:
    assert selection_request().request_id == selection_request().request_id


def test_what_the_cap_has_left_makes_another_request() -> None:
    """Under one id the selector answers one request alone."""
    assert selection_request(left=8).request_id != selection_request(left=9).request_id


def test_other_units_make_another_request() -> None:
    assert selection_request(units=Usage(images=1)).request_id != selection_request(units=Usage(images=2)).request_id


@pytest.mark.parametrize(
    ("constraints", "estimated", "wanted"), [({}, 30, 2), ({"duration_sec": 9}, 3, 9), ({"duration_sec": 2}, 3, 2)]
)
def test_a_plan_says_how_long_a_result_is_and_else_its_text_whatever_providers_estimate(
    constraints: dict[str, JsonValue], estimated: int, wanted: int
) -> None:
    params: dict[str, JsonValue] = {"text": "x" * 24}
    asked = selection_request(
        "synthesize_speech", units=Usage(seconds=estimated), constraints=constraints, params=params
    )
    assert asked.duration_s == wanted
    assert asked.units.seconds == max(estimated, wanted)


@pytest.mark.parametrize(
    ("step_type", "fields", "tokens"),
    [
        ("generate_text", {"params": {"prompt": "x" * 10}}, 5 + 1_024),
        ("generate_text", {"params": {"prompt": "x" * 10}, "constraints": {"max_output_tokens": 2_000}}, 2_005),
        ("analyze_image", {"params": {"prompt": "x" * 10, "max_tokens": 64}}, 69),
        ("analyze_image", {"params": {"prompt": "x" * 10}}, 0),
        ("generate_image", {"params": {"prompt": "x" * 10}}, 0),
    ],
)
def test_a_context_window_is_asked_for_texts_alone(step_type: str, fields: dict[str, JsonValue], tokens: int) -> None:
    assert selection_request(step_type, **fields).context_tokens == tokens


def test_long_texts_are_cut_in_what_the_decision_records_but_counted_whole() -> None:
    asked = selection_request("generate_text", params={"prompt": "x" * 9_000, "more": [{"deep": "y" * 9_000}]})
    assert asked.prompt_chars == 9_000
    assert len(str(asked.params)) < 4_200


def test_words_of_a_step() -> None:
    assert prompt_of({"prompt": "Draw", "source": "x"}) == "Draw"
    assert prompt_of({"messages": [{"role": "user", "content": "Hi"}, {"content": 3}]}) == "Hi"
    assert prompt_of({"n": 1}) == '{"n": 1}'
    assert prompt_of({"points": ["one", "two"], "seed": 7}) == "one\ntwo"
    drawing: dict[str, JsonValue] = {
        "kind": "flow",
        "title": "Sign in",
        "nodes": [{"id": "a", "label": "Browser", "shape": "box"}],
    }
    assert prompt_of({"diagram": drawing, "scale": 2}) == "Sign in\nBrowser"
    assert requested_text({"prompt": "Draw", "request": "A picture of a door"}) == "A picture of a door"
    assert expected_labels_of({"expected_labels": ["A", 1]}) == ("A", "1")
    assert len(shorten("x" * 1_000)) == 480
