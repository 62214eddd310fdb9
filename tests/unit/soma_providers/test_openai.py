"""OpenAI's images and chat against a local server that judges requests as the reference describes them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from soma_providers.openai_chat import adapter as openai_chat
from soma_providers.openai_images import adapter as openai_images
from soma_providers.port import Failure, FailureOrigin
from tests.conformance import harness, openai
from tests.conformance.diagrams import ARCHITECTURE
from tests.conformance.wire import HANG, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from soma_providers.port import Invocation, JsonValue, Provider


@pytest.fixture
def server() -> Iterator[openai.OpenAiServer]:
    with openai.OpenAiServer() as started:
        assert isinstance(started, openai.OpenAiServer)
        yield started


@pytest.fixture
async def images(server: openai.OpenAiServer) -> AsyncIterator[Provider]:
    async with harness.context(server.authority) as context:
        yield openai_images.create(context)


@pytest.fixture
async def chat(server: openai.OpenAiServer) -> AsyncIterator[Provider]:
    async with harness.context(server.authority) as context:
        yield openai_chat.create(context)


def call(server: openai.OpenAiServer, model: str, params: dict[str, JsonValue], key: str = openai.KEY) -> Invocation:
    return harness.invocation(
        params,
        model=model,
        endpoint=f"{server.url}/v1",
        credentials={"api_key": harness.Key(key)},
        step_type="generate_image",
    )


async def test_an_endpoint_that_is_no_address_is_called_by_nobody(chat: Provider, server: openai.OpenAiServer) -> None:
    error = await harness.refusal(chat, replace(call(server, "gpt-4.1", {"prompt": "hello"}), endpoint="https://[::1"))
    assert (error.reason, error.origin) == (Failure.UNAVAILABLE, FailureOrigin.CALLER)


@pytest.mark.parametrize(
    ("model", "params", "size"),
    [
        ("dall-e-3", {}, (1024, 1024)),
        ("dall-e-3", {"shape": "landscape", "quality": "hd", "style": "natural"}, (1792, 1024)),
        ("gpt-image-1", {"shape": "portrait", "quality": "low"}, (1024, 1536)),
    ],
)
async def test_a_prompt_becomes_a_picture(
    images: Provider, server: openai.OpenAiServer, model: str, params: dict[str, JsonValue], size: tuple[int, int]
) -> None:
    result = await images.invoke(call(server, model, {"prompt": "A lock on a door", **params}))
    assert harness.opened(result).size == size
    assert result.artefacts[0].media_type == "image/png"
    assert result.model == model


@pytest.mark.parametrize(
    ("params", "units"), [({}, 1), ({"quality": "hd"}, 2), ({"quality": "hd", "shape": "portrait"}, 3)]
)
async def test_dalle_counts_price_units(
    images: Provider, server: openai.OpenAiServer, params: dict[str, JsonValue], units: int
) -> None:
    assert (await images.invoke(call(server, "dall-e-3", {"prompt": "A lock", **params}))).usage.images == units


async def test_tokens_are_reported_where_they_are_billed(images: Provider, server: openai.OpenAiServer) -> None:
    usage = (await images.invoke(call(server, "gpt-image-1", {"prompt": "A lock"}))).usage
    assert (usage.input_tokens, usage.output_tokens) == (10, 4160)


async def test_a_neutral_diagram_is_described(images: Provider, server: openai.OpenAiServer) -> None:
    asked = replace(call(server, "dall-e-3", {"diagram": ARCHITECTURE}), step_type="generate_diagram")
    result = await images.invoke(asked)
    prompt = json.loads(server.received[-1].body)["prompt"]
    assert 'A hexagon "Envoy edge & auth" inside the frame "Edge (public) #1".' in prompt
    assert result.artefacts[0].asset_type == "diagram"


async def test_the_critics_words_reach_the_model(images: Provider, server: openai.OpenAiServer) -> None:
    asked = replace(
        call(server, "dall-e-3", {"prompt": "A lock"}), feedback=harness.feedback("NOT_RELEVANT", "Show a key.")
    )
    await images.invoke(asked)
    assert json.loads(server.received[-1].body)["prompt"].endswith("Show a key.")


async def test_a_repeated_attempt_sends_the_same_key_and_gets_the_same_answer(
    images: Provider, server: openai.OpenAiServer
) -> None:
    asked = call(server, "dall-e-3", {"prompt": "A lock"})
    first, second = await images.invoke(asked), await images.invoke(asked)
    keys = {request.headers["idempotency-key"] for request in server.received}
    assert keys == {asked.idempotency_key}
    assert first.artefacts[0].content == second.artefacts[0].content


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (openai.RATE_LIMITED, Failure.RATE_LIMITED),
        (openai.NO_CREDIT, Failure.AUTH_FAILED),
        (openai.POLICY, Failure.CONTENT_REJECTED),
        (openai.SERVER_ERROR, Failure.UNAVAILABLE),
        (openai.error(503, "Overloaded", "server_error"), Failure.UNAVAILABLE),
        *((openai.error(status, "Timeout", "server_error"), Failure.TIMEOUT) for status in (408, 504, 520, 522, 524)),
        *((openai.error(status, "Down", "server_error"), Failure.UNAVAILABLE) for status in (521, 523, 525, 526)),
        (replace(openai.SERVER_ERROR, status=200, cut=True), Failure.UNAVAILABLE),
        (replace(openai.SERVER_ERROR, status=200, body=b"<html>"), Failure.UNAVAILABLE),
        (replace(openai.SERVER_ERROR, status=200, body=b'{"data": []}'), Failure.UNAVAILABLE),
        (replace(openai.SERVER_ERROR, status=200, body=b'{"data": [{"b64_json": "AAAA"}]}'), Failure.UNAVAILABLE),
    ],
)
async def test_an_answer_has_its_meaning(
    images: Provider, chat: Provider, server: openai.OpenAiServer, reply: Reply, reason: Failure
) -> None:
    for provider in (images, chat):
        server.next.append(reply)
        error = await harness.refusal(provider, call(server, "gpt-image-1", {"prompt": "A lock"}))
        assert error.reason is reason


async def test_the_wait_that_is_asked_for_is_passed_on(images: Provider, server: openai.OpenAiServer) -> None:
    server.next.append(openai.RATE_LIMITED)
    error = await harness.refusal(images, call(server, "dall-e-3", {"prompt": "A lock"}))
    assert error.retry_after_s == 7


async def test_a_date_to_wait_for_is_understood(images: Provider, server: openai.OpenAiServer) -> None:
    later = {"Retry-After": "Fri, 31 Dec 2999 23:59:59 GMT"}
    server.next.append(replace(openai.RATE_LIMITED, headers=later))
    error = await harness.refusal(images, call(server, "dall-e-3", {"prompt": "A lock"}))
    assert error.retry_after_s is not None
    assert error.retry_after_s > 1e9


async def test_a_wrong_key_is_told_without_showing_it(images: Provider, server: openai.OpenAiServer) -> None:
    error = await harness.refusal(images, call(server, "dall-e-3", {"prompt": "A lock"}, key="sk-secret"))
    assert error.reason is Failure.AUTH_FAILED
    assert "sk-secret" not in error.message


async def test_an_echoed_key_is_masked(images: Provider, server: openai.OpenAiServer) -> None:
    server.next.append(openai.error(400, f"Bad: {openai.KEY}", "invalid_request_error"))
    error = await harness.refusal(images, call(server, "dall-e-3", {"prompt": "A lock"}))
    assert error.reason is Failure.INVALID_INPUT
    assert openai.KEY not in error.message


async def test_without_a_key_nobody_is_called(images: Provider, server: openai.OpenAiServer) -> None:
    error = await harness.refusal(images, replace(call(server, "dall-e-3", {"prompt": "A"}), credentials={}))
    assert error.reason is Failure.AUTH_FAILED
    assert server.received == []


async def test_silence_ends_in_time(images: Provider, server: openai.OpenAiServer) -> None:
    server.next.append(HANG)
    error = await harness.refusal(images, replace(call(server, "dall-e-3", {"prompt": "A lock"}), timeout_s=0.2))
    assert error.reason is Failure.TIMEOUT


async def test_a_model_that_does_not_exist_is_named(images: Provider, server: openai.OpenAiServer) -> None:
    error = await harness.refusal(images, call(server, "gpt-image-99", {"prompt": "A lock"}))
    assert error.reason is Failure.INVALID_INPUT
    assert "gpt-image-99" in error.message


async def test_an_endpoint_inside_is_refused(images: Provider, server: openai.OpenAiServer) -> None:
    inside = replace(call(server, "dall-e-3", {"prompt": "A"}), endpoint="http://127.0.0.1:1/v1")
    assert (await harness.refusal(images, inside)).reason is Failure.UNAVAILABLE


async def test_nobody_is_probed_unasked(images: Provider, server: openai.OpenAiServer) -> None:
    assert (await images.probe()).healthy is None
    assert server.received == []


async def test_a_prompt_is_answered(chat: Provider, server: openai.OpenAiServer) -> None:
    params: dict[str, JsonValue] = {"prompt": "Introduce it.", "system": "Be brief.", "temperature": 0, "seed": 3}
    result = await chat.invoke(call(server, "gpt-4.1", params))
    body = json.loads(server.received[-1].body)
    assert result.text == server.text
    assert (result.usage.input_tokens, result.usage.output_tokens) == (21, 9)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert (body["max_tokens"], body["temperature"], body["seed"]) == (1024, 0, 3)


async def test_points_are_put_into_one_prompt(chat: Provider, server: openai.OpenAiServer) -> None:
    await chat.invoke(call(server, "gpt-4.1", {"points": ["a session expires", "attempts are logged"]}))
    assert json.loads(server.received[-1].body)["messages"][0]["content"].endswith("- attempts are logged")


async def test_a_schema_is_passed_on(chat: Provider, server: openai.OpenAiServer) -> None:
    server.text = '{"name": "x"}'
    schema: JsonValue = {"type": "object", "properties": {"name": {"type": "string"}}}
    result = await chat.invoke(call(server, "gpt-4.1", {"prompt": "Name it.", "json_schema": schema}))
    assert json.loads(server.received[-1].body)["response_format"]["json_schema"]["schema"] == schema
    assert result.artefacts[0].media_type == "application/json"


@pytest.mark.parametrize(
    ("finish", "schema", "reason"),
    [("content_filter", False, Failure.CONTENT_REJECTED), ("length", True, Failure.INVALID_INPUT)],
)
async def test_an_answer_that_is_none_is_an_error(
    chat: Provider, server: openai.OpenAiServer, finish: str, schema: bool, reason: Failure
) -> None:
    server.finish = finish
    params: dict[str, JsonValue] = {"prompt": "Name it.", **({"json_schema": {"type": "object"}} if schema else {})}
    assert (await harness.refusal(chat, call(server, "gpt-4.1", params))).reason is reason


async def test_a_text_cut_at_its_limit_says_so(chat: Provider, server: openai.OpenAiServer) -> None:
    server.finish = "length"
    result = await chat.invoke(call(server, "gpt-4.1", {"prompt": "Introduce it."}))
    assert result.metadata["complete"] is False
