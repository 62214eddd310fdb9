"""The small chat model, run for real, and what is made of its sentences."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from soma_providers.port import Failure, prompt_of, with_feedback
from soma_providers.smollm import adapter as smollm
from soma_providers.smollm.prose import accept_or_keep_original, whole_sentences
from tests.conformance import harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from soma_providers.port import JsonValue, Provider

PROMPT = "Write the overview of a sign-in feature with passwords and passkeys."
POINTS = ["a session expires after 30 minutes without activity", "each attempt is written to the audit log"]


@pytest.fixture(scope="module")
async def chat() -> AsyncIterator[Provider]:
    async with harness.context() as context:
        provider = smollm.create(context)
        yield provider
        await provider.aclose()


async def test_a_prompt_becomes_whole_sentences_of_prose(chat: Provider) -> None:
    result = await chat.invoke(harness.invocation({"prompt": PROMPT, "sentences": 2}))
    assert re.fullmatch(r"([A-Z][A-Za-z0-9 ,'-]+\. ?){2,3}", result.text)
    assert result.artefacts[0].content.decode() == result.text
    assert result.usage.input_tokens > 0
    assert result.usage.output_tokens > 0


async def test_the_same_seed_gives_the_same_text(chat: Provider) -> None:
    call = harness.invocation({"prompt": PROMPT, "sentences": 1, "seed": 3, "temperature": 0.8})
    other = harness.invocation({"prompt": PROMPT, "sentences": 1, "seed": 4, "temperature": 0.8})
    first, _, second = await chat.invoke(call), await chat.invoke(other), await chat.invoke(call)
    assert first.text == second.text


async def test_points_become_one_faithful_sentence_each(chat: Provider) -> None:
    result = await chat.invoke(harness.invocation({"points": POINTS}))
    assert "30 minutes" in result.text
    assert "audit log" in result.text
    assert len(re.findall(r"\.(?: |$)", result.text)) == len(POINTS)


async def test_too_short_a_text_gets_longer_on_rework(chat: Provider) -> None:
    remark = harness.feedback("TOO_SHORT", "The text has too few words.", min_words=90)
    params: dict[str, JsonValue] = {"prompt": PROMPT, "sentences": 1}
    again: dict[str, JsonValue] = {**params, "prompt": with_feedback(PROMPT, remark)}
    short = await chat.invoke(harness.invocation(params))
    longer = await chat.invoke(harness.invocation(again, feedback=remark))
    assert len(longer.text) > 2 * len(short.text)
    assert "few words" not in longer.text


async def test_remarks_on_points_are_not_taken_for_a_prompt(chat: Provider) -> None:
    remark = harness.feedback("TOO_SHORT", "Too short.")
    params: dict[str, JsonValue] = {"points": POINTS[:1]}
    again: dict[str, JsonValue] = {**params, "prompt": with_feedback(prompt_of(params), remark)}
    result = await chat.invoke(harness.invocation(again, feedback=remark))
    assert result.text == (await chat.invoke(harness.invocation(params))).text


async def test_a_schema_bounds_the_answer(chat: Provider) -> None:
    schema: JsonValue = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 30}, "priority": {"enum": ["high", "low"]}},
        "required": ["name", "priority"],
    }
    result = await chat.invoke(harness.invocation({"prompt": "Name a requirement.", "json_schema": schema}))
    assert json.loads(result.text)["priority"] in {"high", "low"}
    assert result.artefacts[0].media_type == "application/json"


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"pattern": {"pattern": "^((a{1,9}){1,9}){1,9}$"}}},
        {"type": "array", "items": {"anyOf": [{"type": "string", "pattern": "^a$"}]}},
        {"patternProperties": {"^a": {}}},
        {"properties": {"a": 7}},
        {"$ref": "#"},
        {"$ref": "https://example.com/schema"},
        {"type": "integer", "minimum": -1e300, "maximum": 1e300},
    ],
)
async def test_a_schema_that_the_model_cannot_follow_is_refused(chat: Provider, schema: JsonValue) -> None:
    call: dict[str, JsonValue] = {"prompt": "Name a requirement.", "json_schema": schema}
    assert await harness.pointer_of_refusal(chat, call) == "/json_schema"


async def test_a_property_may_be_called_like_a_keyword(chat: Provider) -> None:
    schema: JsonValue = {
        "type": "object",
        "properties": {"pattern": {"const": {"pattern": "x"}}},
        "required": ["pattern"],
    }
    result = await chat.invoke(harness.invocation({"prompt": "Name a requirement.", "json_schema": schema}))
    assert json.loads(result.text) == {"pattern": {"pattern": "x"}}


async def test_an_answer_cut_off_is_an_error_and_no_half_object(chat: Provider) -> None:
    schema: JsonValue = {"type": "array", "items": {"type": "string", "minLength": 20}, "minItems": 20}
    call: dict[str, JsonValue] = {"prompt": "List words.", "json_schema": schema, "max_tokens": 8}
    assert await harness.pointer_of_refusal(chat, call) == "/max_tokens"


async def test_free_text_ends_with_a_whole_sentence(chat: Provider) -> None:
    result = await chat.invoke(harness.invocation({"prompt": PROMPT, "style": "free", "max_tokens": 60}))
    assert result.text.endswith((".", "!", "?"))


async def test_nothing_to_say_is_refused(chat: Provider) -> None:
    assert await harness.pointer_of_refusal(chat, {}) == "/prompt"


async def test_a_deadline_is_kept(chat: Provider) -> None:
    error = await harness.refusal(chat, harness.invocation({"prompt": PROMPT}, timeout_s=0.001))
    assert error.reason is Failure.TIMEOUT


async def test_it_is_healthy_where_it_is_installed(chat: Provider) -> None:
    assert (await chat.probe()).healthy


@pytest.mark.parametrize(
    ("written", "is_original"),
    [
        ("A session expires after 30 minutes without activity.", False),
        ("The session of a user expires after 30 minutes of no activity.", False),
        ("A session expires after 15 minutes without activity.", True),
        ("This document defines what the billing module does for its many users.", True),
        ("", True),
    ],
)
def test_a_sentence_that_lost_its_point_gives_way_to_it(written: str, is_original: bool) -> None:
    sentence = accept_or_keep_original(POINTS[0], written)
    assert sentence.is_original is is_original
    assert "30 minutes" in sentence.text


@pytest.mark.parametrize(
    ("text", "kept"),
    [("One. Two. Thr", "One. Two."), ("One.", "One."), ("Fragment", "Fragment"), ("It is 3.5 m", "It is 3.5 m")],
)
def test_a_text_is_cut_at_its_last_whole_sentence(text: str, kept: str) -> None:
    assert whole_sentences(text) == kept
