"""What a step asks of the selector, and what things cost."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soma_providers.media.remote.calls import tokens_of
from soma_providers.port import Feedback, JsonValue, Usage, prompt_of
from svc_executor.domain.job import Job, Principal, Step, Terms
from svc_executor.domain.pricing import cost_micro_usd
from svc_executor.domain.prompts import labels_of, request_of, shorten
from svc_executor.domain.run import JobRun, SelectInput
from svc_executor.domain.selection_requests import selection_request_of
from tests.unit.executor.rig import compiler, plan, task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from svc_executor.domain.peers import SelectionRequest

PICTURES = ("generate_image", "generate_diagram", "transform_asset")


def selection_request(
    step_type: str = "generate_diagram",
    left: int = 9,
    defaults: Sequence[Mapping[str, JsonValue]] = (),
    feedback: Sequence[Feedback] = (),
    **fields: JsonValue,
) -> SelectionRequest:
    only = compiler().compile(plan(task("a", step_type, **fields))).tasks[0]
    terms = Terms(data_classification="sensitive", persona="p", capsule="c", max_cost_tier="low")
    job = Job("job", Principal("tenant-a", "user-1"), terms, datetime(2026, 1, 1, tzinfo=UTC), session_id="s")
    order = SelectInput(JobRun("tenant-a", "job", 1), "a", 2, ["x@y"], "it failed", "UNAVAILABLE")
    return selection_request_of(
        job,
        Step("job", only),
        order,
        only.params,
        again=None,
        feedback=feedback,
        max_cost_micro_usd=left,
        defaults=defaults,
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


@pytest.mark.parametrize(
    ("step_type", "params", "images", "output_tokens", "duration_s"),
    [
        ("generate_image", {"prompt": "x", "n": 3}, 3, 18_720, 0),
        ("generate_image", {"prompt": "x", "quality": "low"}, 1, 408, 0),
        ("generate_image", {"prompt": "x", "quality": "hd", "shape": "landscape"}, 3, 6_240, 0),
        ("generate_diagram", {"source": "x"}, 1, 6_240, 0),
        ("transform_asset", {"prompt": "x"}, 1, 6_240, 0),
        ("generate_text", {"prompt": "x"}, 1, 1024, 0),
        ("generate_text", {"prompt": "x", "max_tokens": 64}, 1, 64, 0),
        ("synthesize_speech", {"text": "x" * 25}, 1, 1024, 3),
        ("invoke_tool", {"n": 10**12, "max_tokens": 1e300}, 1_000_000, 1_000_000_000, 0),
    ],
)
def test_units_are_estimated_from_what_is_asked(
    step_type: str, params: dict[str, JsonValue], images: int, output_tokens: int, duration_s: float
) -> None:
    asked = selection_request(step_type, params=params)
    assert (asked.images, asked.output_tokens, asked.duration_s) == (images, output_tokens, duration_s)


@pytest.mark.parametrize(
    "params",
    [
        {"prompt": "x", "system": "y" * 1_000},
        {"prompt": " ", "text": "x", "points": ["y" * 500, "y" * 500]},
        {"prompt": "x", "json_schema": {"type": "object", "description": "y" * 1_000}},
        {"prompt": "x", "messages": [{"role": "user", "content": "y" * 1_000}]},
    ],
)
def test_all_that_may_be_sent_is_counted(params: dict[str, JsonValue]) -> None:
    assert 500 <= selection_request("generate_text", params=params).input_tokens < 600


@pytest.mark.parametrize("text", ["y", "\u00e9", "\u0436", "\u8a9e", "\U0001f600", '"', "\n"])
def test_a_text_in_any_script_is_reserved_for_as_it_may_be_booked(text: str) -> None:
    """An endpoint that tells no tokens is booked by the size of the request's body."""
    asked = selection_request("generate_text", params={"prompt": text * 1_000})
    assert asked.input_tokens >= tokens_of(json.dumps({"messages": [{"role": "user", "content": text * 1_000}]}))


def test_what_the_critic_said_is_counted_among_what_is_sent() -> None:
    before = selection_request("generate_text", params={"prompt": "x"})
    found = Feedback("relevance", "OFF_TOPIC", "y" * 1_000)
    after = selection_request("generate_text", feedback=[found], params={"prompt": "x"})
    assert after.input_tokens >= before.input_tokens + 500
    assert after.request_id != before.request_id


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


@pytest.mark.parametrize("step_type", PICTURES)
@pytest.mark.parametrize("quality", ["auto", "low", "medium", "high", None])
@pytest.mark.parametrize("tokens", [272, 400, 408, 1_056, 1_568, 1_584, 4_160, 6_208, 6_240])
def test_what_a_picture_by_the_token_costs_was_reserved(quality: str | None, tokens: int, step_type: str) -> None:
    most = {"low": 408, "medium": 1_584}.get(str(quality), 6_240)
    prices = {"input_token": 5, "output_token": 40}
    asked = selection_request(step_type, params={"prompt": "A door", **({"quality": quality} if quality else {})})
    reserved = cost_micro_usd(prices, {}, Usage(1, asked.input_tokens, asked.output_tokens))
    assert reserved >= cost_micro_usd(prices, {}, Usage(1, 2, min(tokens, most)))


@pytest.mark.parametrize("step_type", PICTURES)
@pytest.mark.parametrize("shape", ["square", "landscape", "portrait"])
@pytest.mark.parametrize("quality", ["standard", "hd"])
def test_what_a_picture_by_the_piece_costs_was_reserved(shape: str, quality: str, step_type: str) -> None:
    asked = selection_request(step_type, params={"prompt": "A door", "shape": shape, "quality": quality})
    assert asked.images == 1 + (quality == "hd") + (shape != "square")


def test_long_texts_are_cut_in_what_the_decision_records_but_counted_whole() -> None:
    asked = selection_request("generate_text", params={"prompt": "x" * 9_000, "more": [{"deep": "y" * 9_000}]})
    assert asked.prompt_chars == 9_000
    assert len(str(asked.params)) < 4_200


@given(st.integers(0, 9), st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1e4))
def test_cost_is_price_times_usage_rounded_up(calls: int, sent: int, received: int, seconds: float) -> None:
    prices = {"call": 7, "input_token": 2, "output_token": 3, "second": 11}
    exact = calls * 7 + sent * 2 + received * 3 + seconds * 11
    cost = cost_micro_usd(prices, {}, Usage(calls, sent, received, 0, seconds))
    assert exact <= cost < exact + 1 + 1e-6


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_prices_finer_than_a_millionth_of_a_dollar_count_to_the_last_token(sent: int, received: int) -> None:
    finer = {"input_token": 150_000, "output_token": 600_000}
    cost = cost_micro_usd({"output_token": 1}, finer, Usage(1, sent, received))
    assert cost == math.ceil(Fraction(15 * sent + 160 * received, 100))


def test_what_has_no_price_is_free() -> None:
    assert cost_micro_usd({}, {}, Usage(images=3)) == 0


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
    assert request_of({"prompt": "Draw", "request": "A picture of a door"}) == "A picture of a door"
    assert labels_of({"expected_labels": ["A", 1]}) == ("A", "1")
    assert len(shorten("x" * 1_000)) == 480
