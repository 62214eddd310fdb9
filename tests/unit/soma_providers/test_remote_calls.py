"""What remote providers have in common: who is at fault, what a failed call consumed, when a provider is asked."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.testing.clock import FakeClock
from soma_providers.media.remote.calls import RemoteCalls
from soma_providers.openai_chat import adapter as openai_chat
from soma_providers.openai_images import adapter as openai_images
from soma_providers.port import Failure, FailureOrigin, ProviderContext, ProviderError, Usage
from soma_providers.runtime.egress import EgressRules, GuardedEgress
from tests.conformance import harness, openai
from tests.conformance.wire import HANG, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from soma_providers.port import Invocation, JsonValue, Processes, Provider

NO_PROCESSES: Processes = None  # type: ignore[assignment]  # a remote provider has none
COST = Usage(input_tokens=5, output_tokens=100)


@pytest.fixture
def server() -> Iterator[openai.OpenAiServer]:
    with openai.OpenAiServer() as started:
        assert isinstance(started, openai.OpenAiServer)
        yield started


@pytest.fixture
async def chat(server: openai.OpenAiServer) -> AsyncIterator[Provider]:
    async with harness.context(server.authority) as context:
        yield openai_chat.create(context)


@pytest.fixture
async def images(server: openai.OpenAiServer) -> AsyncIterator[Provider]:
    async with harness.context(server.authority) as context:
        yield openai_images.create(context)


def call(
    server: openai.OpenAiServer, model: str = "gpt-4.1", *, timeout_s: float = 30.0, **params: JsonValue
) -> Invocation:
    return harness.invocation(
        {"prompt": "Name it.", **params},
        model=model,
        endpoint=f"{server.url}/v1",
        credentials={"api_key": harness.Key(openai.KEY)},
        timeout_s=timeout_s,
    )


async def failed(
    provider: Provider, server: openai.OpenAiServer, reply: Reply, *, timeout_s: float = 30.0, **params: JsonValue
) -> ProviderError:
    server.next.append(reply)
    return await harness.refusal(provider, call(server, timeout_s=timeout_s, **params))


def answer(**choice: JsonValue) -> Reply:
    reported_usage = {"prompt_tokens": 21, "completion_tokens": 9}
    return Reply.of(200, {"model": "m", "choices": [choice], "usage": reported_usage})


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (answer(message={"content": "{"}, finish_reason="length"), Failure.INVALID_INPUT),
        (answer(message={"content": ""}, finish_reason="length"), Failure.INVALID_INPUT),
        (answer(message={"content": ""}, finish_reason="stop"), Failure.UNAVAILABLE),
        (answer(message={"content": "Sure!"}, finish_reason="stop"), Failure.UNAVAILABLE),
        (answer(message={"refusal": "No."}, finish_reason="stop"), Failure.CONTENT_REJECTED),
        (answer(message={}, finish_reason="content_filter"), Failure.CONTENT_REJECTED),
    ],
)
async def test_an_answer_that_cannot_be_used_is_paid_for_and_is_not_the_providers_fault(
    chat: Provider, server: openai.OpenAiServer, reply: Reply, reason: Failure
) -> None:
    error = await failed(chat, server, reply, json_schema={"type": "object"})
    assert (error.reason, error.origin) == (reason, FailureOrigin.CALLER)
    assert error.usage == Usage(input_tokens=21, output_tokens=9)


async def test_an_answer_without_usage_costs_what_it_may_have_at_most(
    chat: Provider, server: openai.OpenAiServer
) -> None:
    error = await failed(chat, server, Reply.of(200, {"choices": []}), max_tokens=50)
    assert error.usage is not None
    assert (error.usage.estimated, error.usage.output_tokens) == (True, 50)
    assert error.usage.input_tokens > len("Name it.") / 4


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (HANG, Failure.TIMEOUT),
        (replace(openai.SERVER_ERROR, status=200, cut=True), Failure.UNAVAILABLE),
        (replace(openai.SERVER_ERROR, status=200, body=b"<html>"), Failure.UNAVAILABLE),
    ],
)
async def test_an_answer_that_does_not_arrive_whole_costs_what_it_may_have_at_most(
    chat: Provider, images: Provider, server: openai.OpenAiServer, reply: Reply, reason: Failure
) -> None:
    timeout_s = 0.5 if reply is HANG else 30.0
    error = await failed(chat, server, reply, max_tokens=50, timeout_s=timeout_s)
    assert (error.reason, error.origin) == (reason, FailureOrigin.PROVIDER)
    assert error.usage is not None
    assert (error.usage.estimated, error.usage.output_tokens) == (True, 50)
    server.next.append(reply)
    pictures = await harness.refusal(images, call(server, "dall-e-3", quality="hd", timeout_s=timeout_s))
    assert pictures.usage == Usage(images=2, estimated=True)


@pytest.mark.parametrize(
    ("reported_usage", "usage"),
    [
        ({"prompt_tokens": 12.0, "completion_tokens": 9.0}, Usage(input_tokens=12, output_tokens=9)),
        ({"prompt_tokens": 0, "completion_tokens": 9}, Usage(input_tokens=0, output_tokens=9)),
        ({"prompt_tokens": 21, "completion_tokens": 10**22}, Usage(input_tokens=21, output_tokens=10**9)),
        ({"prompt_tokens": 5}, Usage(input_tokens=5, output_tokens=50, estimated=True)),
        ({"prompt_tokens": 5, "completion_tokens": 1.5}, Usage(input_tokens=5, output_tokens=50, estimated=True)),
        ({"prompt_tokens": 5, "completion_tokens": -1}, Usage(input_tokens=5, output_tokens=50, estimated=True)),
    ],
)
async def test_tokens_that_an_answer_tells_are_counted_and_others_are_as_many_as_they_may_be(
    chat: Provider, server: openai.OpenAiServer, reported_usage: dict[str, JsonValue], usage: Usage
) -> None:
    choice = {"message": {"content": "A name."}, "finish_reason": "stop"}
    server.next.append(Reply.of(200, {"model": "m", "choices": [choice], "usage": reported_usage}))
    assert (await chat.invoke(call(server, max_tokens=50))).usage == usage


@pytest.mark.parametrize("reported_usage", [{}, {"input_tokens": "10"}, None, 7])
async def test_a_picture_by_the_token_whose_answer_tells_none_costs_what_it_may_have_at_most(
    images: Provider, server: openai.OpenAiServer, reported_usage: JsonValue
) -> None:
    data = [{"b64_json": base64.b64encode(openai.png(8, 8)).decode()}]
    server.next.append(Reply.of(200, {"data": data, "usage": reported_usage}))
    usage = (await images.invoke(call(server, "gpt-image-1", quality="medium"))).usage
    assert (usage.estimated, usage.output_tokens) == (True, 1_584)
    assert usage.input_tokens > len("Name it.") / 4


async def test_a_picture_by_the_piece_has_no_tokens(images: Provider, server: openai.OpenAiServer) -> None:
    assert (await images.invoke(call(server, "dall-e-3"))).usage == Usage(images=1)


async def test_a_picture_that_cannot_be_read_is_paid_for(images: Provider, server: openai.OpenAiServer) -> None:
    reported_usage = {"input_tokens": 10, "output_tokens": 4160}
    server.next.append(Reply.of(200, {"data": [{"b64_json": "AAAA"}], "usage": reported_usage}))
    error = await harness.refusal(images, call(server, "gpt-image-1"))
    assert error.usage == Usage(images=1, input_tokens=10, output_tokens=4160)


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_server_error_consumes_nothing_and_is_the_providers_fault(
    chat: Provider, server: openai.OpenAiServer, status: int
) -> None:
    error = await failed(chat, server, replace(openai.SERVER_ERROR, status=status))
    assert (error.reason, error.origin, error.usage) == (Failure.UNAVAILABLE, FailureOrigin.PROVIDER, None)


async def test_too_large_an_answer_is_not_the_providers_fault(chat: Provider, server: openai.OpenAiServer) -> None:
    error = await failed(chat, server, Reply(200, b" " * (33 * 1024 * 1024)))
    assert (error.origin, error.usage is not None) == (FailureOrigin.CALLER, True)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[" + b"{}," * 300_000 + b"{}]"], ids=["deep", "many values"])
async def test_an_answer_that_would_take_long_to_read_is_not_read(
    chat: Provider, server: openai.OpenAiServer, body: bytes
) -> None:
    error = await failed(chat, server, Reply(200, b'{"choices": ' + body + b"}"))
    assert (error.reason, error.message) == (
        Failure.UNAVAILABLE, "The chat provider gave an answer that cannot be read",
    )  # fmt: skip


async def test_a_closed_port_consumes_nothing(chat: Provider, server: openai.OpenAiServer) -> None:
    async with harness.context("127.0.0.1:1") as context:
        error = await harness.refusal(
            openai_chat.create(context), replace(call(server), endpoint="http://127.0.0.1:1/v1")
        )
    assert (error.reason, error.origin, error.usage) == (Failure.UNAVAILABLE, FailureOrigin.PROVIDER, None)


class Door:
    """Calls of a provider whose own address is a local server."""

    def __init__(self, server: openai.OpenAiServer, egress: GuardedEgress, home: Path, **settings: JsonValue) -> None:
        self.clock = FakeClock()
        self.server = server
        context = ProviderContext(self.clock, egress, home, NO_PROCESSES, settings)
        self.calls = RemoteCalls("It", f"{server.url}/v1", context)

    async def use(self, endpoint: str = "") -> None:
        """Let a tenant call it."""
        invocation = replace(call(self.server), endpoint=endpoint)
        self.server.next.append(Reply.of(200, {}))
        await self.calls.post(invocation, "/chat/completions", b"{}", {}, max_usage=COST)

    async def healthy(self) -> bool | None:
        """What a probe says."""
        return (await self.calls.probe("/models")).healthy


@pytest.fixture
async def egress(server: openai.OpenAiServer) -> AsyncIterator[GuardedEgress]:
    async with GuardedEgress(EgressRules(loopback=frozenset({server.authority}))) as made:
        yield made


async def test_a_provider_that_nobody_uses_is_not_asked(
    server: openai.OpenAiServer, egress: GuardedEgress, tmp_path: Path
) -> None:
    door = Door(server, egress, tmp_path)
    assert await door.healthy() is None
    assert server.received == []


async def test_a_provider_in_use_is_asked_at_a_free_address_without_a_key(
    server: openai.OpenAiServer, egress: GuardedEgress, tmp_path: Path
) -> None:
    door = Door(server, egress, tmp_path)
    await door.use()
    assert await door.healthy() is True
    probe = server.received[-1]
    assert (probe.method, probe.path, "authorization" in probe.headers) == ("GET", "/v1/models", False)
    server.next.append(openai.SERVER_ERROR)
    assert await door.healthy() is False


async def test_a_provider_whose_host_is_listed_is_asked_before_anybody_uses_it(
    server: openai.OpenAiServer, tmp_path: Path
) -> None:
    rules = EgressRules(allow=("127.0.0.*",), loopback=frozenset({server.authority}))
    async with GuardedEgress(rules) as listed:
        assert await Door(server, listed, tmp_path).healthy() is True
        assert await Door(server, listed, tmp_path, probe_remote="false").healthy() is None
    assert [(probe.method, probe.path, "authorization" in probe.headers) for probe in server.received] == [
        ("GET", "/v1/models", False)
    ]


async def test_a_provider_that_was_not_used_for_an_hour_is_not_asked(
    server: openai.OpenAiServer, egress: GuardedEgress, tmp_path: Path
) -> None:
    door = Door(server, egress, tmp_path)
    await door.use()
    await door.clock.advance(3_600)
    assert await door.healthy() is None


async def test_an_endpoint_of_ones_own_is_no_use_of_the_provider(
    server: openai.OpenAiServer, egress: GuardedEgress, tmp_path: Path
) -> None:
    door = Door(server, egress, tmp_path)
    await door.use(f"{server.url}/own")
    assert await door.healthy() is None


@pytest.mark.parametrize(("setting", "healthy"), [("true", True), ("false", None)])
async def test_a_setting_has_it_asked_always_or_never(
    server: openai.OpenAiServer, egress: GuardedEgress, tmp_path: Path, setting: str, healthy: bool | None
) -> None:
    door = Door(server, egress, tmp_path, probe_remote=setting)
    if setting == "false":
        await door.use()
    assert await door.healthy() is healthy
