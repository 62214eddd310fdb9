"""What a call may consume is told before it: at least what it reports afterwards."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soma_providers.media.remote.calls import tokens_of
from soma_providers.openai_images.adapter import OpenAiImages
from soma_providers.port import (
    DEFAULT_OUTPUT_TOKENS,
    EstimateRequest,
    Feedback,
    Manifest,
    Usage,
    default_estimate,
    larger_usage,
    text_estimate,
)
from soma_providers.runtime import discovery, manifests
from soma_providers.runtime.catalogue import ModuleCatalogue
from soma_providers.runtime.estimates import CatalogueEstimates
from tests.conformance import harness
from tests.unit.soma_providers.scripted import ScriptedCatalogue, ScriptedProvider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from soma_providers.port import JsonValue

INSTALLED = manifests.installed()
PRICED = [each for each in INSTALLED if each.fields.get("price_list")]
WRONG: Mapping[str, JsonValue] = {
    "prompt": None, "text": [], "quality": {}, "shape": 3, "max_tokens": math.nan, "rate_wpm": -1, "n": True,
}  # fmt: skip


def request(step_type: str = "generate_image", model: str = "", **params: JsonValue) -> EstimateRequest:
    return EstimateRequest(step_type, params, model=model)


@pytest.fixture
async def estimates() -> AsyncIterator[CatalogueEstimates]:
    """Those of the installed providers."""
    async with harness.context() as context:
        catalogue = ModuleCatalogue(context, discovery.installed(), {each.adapter for each in INSTALLED})
        yield CatalogueEstimates(catalogue, INSTALLED)
        await catalogue.aclose()


@pytest.fixture
async def images() -> AsyncIterator[OpenAiImages]:
    async with harness.context() as context:
        yield OpenAiImages(context)


@pytest.mark.parametrize("adapter", sorted({each.adapter for each in INSTALLED}))
@pytest.mark.parametrize("params", [{}, WRONG], ids=["none", "wrong"])
async def test_every_provider_gives_an_estimate_whatever_it_is_asked(
    estimates: CatalogueEstimates, adapter: str, params: Mapping[str, JsonValue]
) -> None:
    found = estimates.for_adapter(adapter, EstimateRequest("generate_image", params))
    assert found.calls == 1
    assert all(
        0 <= count < math.inf for count in (found.images, found.seconds, found.input_tokens, found.output_tokens)
    )


@pytest.mark.parametrize(
    "manifest", [each for each in INSTALLED if each.fields.get("price_list")], ids=lambda m: m.tool_id
)
async def test_every_unit_that_has_a_price_is_estimated(estimates: CatalogueEstimates, manifest: Manifest) -> None:
    asked = request(model=str(manifest.fields["model"]), prompt="A door")
    found = estimates.for_adapter(manifest.adapter, asked)
    listed = manifest.fields["price_list"]
    assert isinstance(listed, dict)
    for price in listed["prices"]:
        unit = price["unit"].removeprefix("PRICE_UNIT_").lower()
        assert getattr(found, f"{unit}s") > 0, unit


@pytest.mark.parametrize("quality", ["auto", "low", "medium", "high", None])
@pytest.mark.parametrize("tokens", [272, 400, 408, 1_056, 1_568, 1_584, 4_160, 6_208, 6_240])
def test_a_picture_by_the_token_takes_no_more_than_was_estimated(
    images: OpenAiImages, quality: str | None, tokens: int
) -> None:
    most = {"low": 408, "medium": 1_584}.get(str(quality), 6_240)
    asked = request(model="gpt-image-1", prompt="A door", **({"quality": quality} if quality else {}))
    found = images.estimate(asked)
    assert found.output_tokens >= min(tokens, most)
    assert found.input_tokens >= tokens_of("A door")


@pytest.mark.parametrize("shape", ["square", "landscape", "portrait"])
@pytest.mark.parametrize("quality", ["standard", "hd"])
def test_a_picture_by_the_piece_counts_its_price_units(images: OpenAiImages, shape: str, quality: str) -> None:
    found = images.estimate(request(model="dall-e-3", prompt="A door", shape=shape, quality=quality))
    assert (found.images, found.output_tokens) == (1 + (quality == "hd") + (shape != "square"), 0)


def test_while_no_model_is_chosen_the_most_of_both_counts(images: OpenAiImages) -> None:
    found = images.estimate(request(prompt="A door", shape="portrait", quality="hd"))
    assert (found.images, found.output_tokens) == (3, 6_240)


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
    assert 500 <= text_estimate(EstimateRequest("generate_text", params)).input_tokens < 600


@pytest.mark.parametrize("text", ["y", "\u00e9", "\u0436", "\u8a9e", "\U0001f600", '"', "\n"])
def test_a_text_in_any_script_is_counted_as_it_may_be_reported(text: str) -> None:
    """An endpoint that tells no tokens is booked by the size of the request's body."""
    found = text_estimate(request("generate_text", prompt=text * 1_000))
    assert found.input_tokens >= tokens_of(json.dumps({"messages": [{"role": "user", "content": text * 1_000}]}))


def test_what_the_critic_said_is_counted_among_what_is_sent() -> None:
    remark = (Feedback("relevance", "OFF_TOPIC", "y" * 1_000),)
    before = text_estimate(EstimateRequest("generate_text", {"prompt": "x"}))
    after = text_estimate(EstimateRequest("generate_text", {"prompt": "x"}, feedback=remark))
    assert after.input_tokens >= before.input_tokens + 500


@pytest.mark.parametrize(
    ("step_type", "params", "images_", "output_tokens", "seconds"),
    [
        ("generate_image", {"prompt": "x", "n": 3}, 3, DEFAULT_OUTPUT_TOKENS, 0),
        ("generate_text", {"prompt": "x", "max_tokens": 64}, 1, 64, 0),
        ("synthesize_speech", {"text": "x" * 25}, 1, DEFAULT_OUTPUT_TOKENS, 3),
        ("invoke_tool", {"n": 10**12, "max_tokens": 1e300}, 10**9, 10**9, 0),
    ],
)
def test_a_provider_that_says_nothing_is_estimated_by_what_is_asked(
    step_type: str, params: dict[str, JsonValue], images_: int, output_tokens: int, seconds: int
) -> None:
    found = default_estimate(EstimateRequest(step_type, params))
    assert (found.images, found.output_tokens, found.seconds) == (images_, output_tokens, seconds)


@pytest.mark.parametrize(("rate", "seconds"), [(None, 10), (160, 10), (80, 20), (400, 10)])
async def test_speech_takes_longer_at_a_slower_rate(
    estimates: CatalogueEstimates, rate: int | None, seconds: int
) -> None:
    params: dict[str, JsonValue] = {"text": "x" * 120, **({"rate_wpm": rate} if rate else {})}
    assert estimates.for_adapter("espeak", request("synthesize_speech", **params)).seconds == seconds


async def test_before_a_choice_the_most_over_the_providers_of_the_modality_counts(
    estimates: CatalogueEstimates,
) -> None:
    found = estimates.for_modality("image", request(prompt="A door", quality="hd", shape="portrait"))
    assert (found.images, found.output_tokens) == (3, 6_240)


class Counted(ScriptedProvider):
    """Consumes as many tokens as its parameters say."""

    def estimate(self, request: EstimateRequest) -> Usage:
        return Usage(output_tokens=int(str(request.params["max_tokens"])))


def counted(**defaults: JsonValue) -> CatalogueEstimates:
    fields: dict[str, JsonValue] = {"modalities": ["MODALITY_TEXT"], "default_parameters": defaults}
    return CatalogueEstimates(ScriptedCatalogue({"a": Counted("p")}), [Manifest("a", "p", "a", fields)])


def test_before_a_choice_the_defaults_of_manifests_count_below_what_is_asked() -> None:
    estimates = counted(max_tokens=9)
    assert estimates.for_modality("text", request()).output_tokens == 9
    assert estimates.for_modality("text", request(max_tokens=5)).output_tokens == 5


def test_a_provider_that_breaks_on_its_estimate_has_the_default() -> None:
    assert counted().for_adapter("a", request()) == default_estimate(request())


def test_an_adapter_that_is_not_here_and_a_modality_that_nobody_serves_have_the_default() -> None:
    estimates = counted()
    assert estimates.for_adapter("b", request()) == default_estimate(request())
    assert estimates.for_modality("video", request()) == default_estimate(request())


counts = st.integers(0, 9)
usages = st.builds(
    Usage, calls=counts, images=counts, seconds=st.floats(0, 9), input_tokens=counts, output_tokens=counts
)


@given(usages, usages)
def test_the_larger_number_of_each_unit_counts(first: Usage, second: Usage) -> None:
    both = larger_usage(first, second)
    assert both == larger_usage(second, first) == larger_usage(both, first)
    assert both.images == max(first.images, second.images)
