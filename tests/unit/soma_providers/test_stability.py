"""Stability AI's images against a local server that judges requests as the reference describes them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from soma_providers.port import Failure
from soma_providers.stability_images import adapter as stability_images
from tests.conformance import harness, stability
from tests.conformance.wire import HANG, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from soma_providers.port import Invocation, JsonValue, Provider


@pytest.fixture
def server() -> Iterator[stability.StabilityServer]:
    with stability.StabilityServer() as started:
        assert isinstance(started, stability.StabilityServer)
        yield started


@pytest.fixture
async def images(server: stability.StabilityServer) -> AsyncIterator[Provider]:
    async with harness.context(server.authority) as context:
        yield stability_images.create(context)


def call(server: stability.StabilityServer, params: dict[str, JsonValue], **others: object) -> Invocation:
    usual = {
        "endpoint": server.url,
        "credentials": {"api_key": harness.Key(stability.KEY)},
        "model": "stable-image-core",
    }
    return harness.invocation(params, **{**usual, **others})


async def test_a_prompt_becomes_a_picture_with_its_seed(images: Provider, server: stability.StabilityServer) -> None:
    params: dict[str, JsonValue] = {"prompt": 'A "lock" — müde', "shape": "landscape", "negative_prompt": "people"}
    result = await images.invoke(call(server, params))
    assert harness.opened(result).size == (96, 64)
    assert result.metadata["seed"] == 4711
    assert server.fields["aspect_ratio"] == "3:2"
    assert server.fields["prompt"] == 'A "lock" — müde'


@pytest.mark.parametrize("model", ["stable-image-core", "stable-image-ultra", "sd3.5-large"])
async def test_each_service_accepts_what_is_sent(
    images: Provider, server: stability.StabilityServer, model: str
) -> None:
    assert (await images.invoke(call(server, {"prompt": "A lock", "seed": 5}, model=model))).metadata["seed"] == 5


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (stability.RATE_LIMITED, Failure.RATE_LIMITED),
        (stability.MODERATED, Failure.CONTENT_REJECTED),
        (stability.NO_CREDIT, Failure.AUTH_FAILED),
        (stability.SERVER_ERROR, Failure.UNAVAILABLE),
        (stability.error(400, "bad_request", "prompt: too long"), Failure.INVALID_INPUT),
        (stability.error(413, "payload_too_large", "Too large"), Failure.INVALID_INPUT),
        (replace(stability.SERVER_ERROR, status=200, cut=True), Failure.UNAVAILABLE),
    ],
)
async def test_an_answer_has_its_meaning(
    images: Provider, server: stability.StabilityServer, reply: Reply, reason: Failure
) -> None:
    server.next.append(reply)
    error = await harness.refusal(images, call(server, {"prompt": "A lock"}))
    assert error.reason is reason
    assert (error.retry_after_s == 60) == (reason is Failure.RATE_LIMITED)


async def test_a_filtered_picture_is_a_refusal(images: Provider, server: stability.StabilityServer) -> None:
    server.finish = "CONTENT_FILTERED"
    assert (await harness.refusal(images, call(server, {"prompt": "A lock"}))).reason is Failure.CONTENT_REJECTED


async def test_a_wrong_key_is_told(images: Provider, server: stability.StabilityServer) -> None:
    wrong = call(server, {"prompt": "A lock"}, credentials={"api_key": harness.Key("nope")})
    assert (await harness.refusal(images, wrong)).reason is Failure.AUTH_FAILED


async def test_silence_ends_in_time(images: Provider, server: stability.StabilityServer) -> None:
    server.next.append(HANG)
    error = await harness.refusal(images, call(server, {"prompt": "A lock"}, timeout_s=0.2))
    assert error.reason is Failure.TIMEOUT


async def test_an_unknown_model_is_refused_before_anybody_is_called(
    images: Provider, server: stability.StabilityServer
) -> None:
    error = await harness.refusal(images, call(server, {"prompt": "A lock"}, model="sd9"))
    assert error.reason is Failure.INVALID_INPUT
    assert server.received == []
