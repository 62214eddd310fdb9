"""Pictures by OpenAI's Images API: the gpt-image models and DALL·E 3."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from soma_providers.media.params import Params
from soma_providers.media.remote.calls import RemoteCalls, as_object, tokens_of, tokens_used
from soma_providers.media.remote.pictures import asset_type_of, picture, prompt_of
from soma_providers.port import Failure, InvocationResult, ProviderError, Usage, input_tokens, larger_usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_providers.port import EstimateRequest, Invocation, JsonValue, ProbeResult, Provider, ProviderContext

_ENDPOINT = "https://api.openai.com/v1"
_DALLE = "dall-e-3"
_HD, _SQUARE = "hd", "square"
_SIZES = {
    "gpt-image": {"square": "1024x1024", "landscape": "1536x1024", "portrait": "1024x1536"},
    _DALLE: {"square": "1024x1024", "landscape": "1792x1024", "portrait": "1024x1792"},
}
_QUALITIES = {"gpt-image": ("auto", "low", "medium", "high"), _DALLE: ("standard", "hd")}
# The most tokens of a picture of any shape, by OpenAI's table.
_TOKENS = {"low": 408, "medium": 1_584, "high": 6_240, "auto": 6_240}
_MAX_PROMPT = {"gpt-image": 32_000, _DALLE: 4_000}


class OpenAiImages:
    """Paints one picture from a prompt."""

    provider = "openai"

    def __init__(self, context: ProviderContext) -> None:
        self._calls = RemoteCalls("OpenAI", _ENDPOINT, context)

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Paint `prompt` (or a description of `diagram`) in `shape` square, landscape or portrait, at `quality`."""
        model = invocation.model or "gpt-image-1"
        body, echo = _request(invocation, model)
        max_usage = _max_usage(model, echo, str(body["prompt"]))
        response = await self._calls.post(
            invocation, "/images/generations", json.dumps(body).encode(), {"Content-Type": "application/json"},
            max_usage=max_usage,
        )  # fmt: skip
        answer = self._calls.json(response, max_usage)
        data = answer.get("data")
        first = as_object(data[0]) if isinstance(data, list) and data else {}
        usage = _used(answer, model, max_usage)
        if not first.get("b64_json"):
            raise ProviderError(Failure.UNAVAILABLE, "OpenAI gave no picture", usage=usage)
        if first.get("revised_prompt"):
            echo["revised_prompt"] = str(first["revised_prompt"])
        return InvocationResult(
            artefacts=(picture(first["b64_json"], asset_type_of(invocation), echo, "OpenAI", usage),),
            usage=usage,
            model=model,
            metadata=echo,
        )

    def estimate(self, request: EstimateRequest) -> Usage:
        """One picture at the quality asked for: by the piece, by the token, or both while no model is chosen."""
        quality, shape = str(request.params.get("quality")), request.params.get("shape", _SQUARE)
        by_piece = Usage(images=1 + (quality == _HD) + (shape != _SQUARE), estimated=True)
        if request.model == _DALLE:
            return by_piece
        tokens = _TOKENS.get(quality, max(_TOKENS.values()))
        by_token = Usage(images=1, input_tokens=input_tokens(request), output_tokens=tokens, estimated=True)
        return by_token if request.model else larger_usage(by_piece, by_token)

    async def probe(self) -> ProbeResult:
        """Probes whether the API endpoint is reachable."""
        return await self._calls.probe("/models")

    async def aclose(self) -> None:
        """Nothing is kept."""


def create(context: ProviderContext) -> Provider:
    """Build the adapter."""
    return OpenAiImages(context)


def _priced(model: str, echo: dict[str, JsonValue]) -> int:
    """Give the price units of a picture: DALL·E 3 charges one for each of standard square, hd, and another shape."""
    if model != _DALLE:
        return 1
    return 1 + (echo["quality"] == _HD) + (echo["size"] != _SIZES[_DALLE][_SQUARE])


def _used(answer: Mapping[str, object], model: str, max_usage: Usage) -> Usage:
    """Give the tokens of the answer; DALL·E 3 is paid by the picture and has none."""
    if model == _DALLE:
        return max_usage
    return tokens_used(answer.get("usage"), "input_tokens", "output_tokens", max_usage)


def _max_usage(model: str, echo: dict[str, JsonValue], prompt: str) -> Usage:
    if model == _DALLE:
        return Usage(images=_priced(model, echo))
    return Usage(images=1, input_tokens=tokens_of(prompt), output_tokens=_TOKENS[str(echo["quality"])])


def _request(invocation: Invocation, model: str) -> tuple[dict[str, object], dict[str, JsonValue]]:
    params = Params(invocation.params)
    family = _DALLE if model == _DALLE else "gpt-image"
    shape = params.choice("shape", tuple(_SIZES[family]), _SQUARE)
    size, qualities = _SIZES[family][shape], _QUALITIES[family]
    quality = params.choice("quality", qualities, qualities[0])
    prompt = prompt_of(invocation, params, max_chars=_MAX_PROMPT[family])
    body: dict[str, object] = {"model": model, "prompt": prompt, "n": 1, "size": size, "quality": quality}
    if family == _DALLE:
        body["response_format"] = "b64_json"
        body["style"] = params.choice("style", ("vivid", "natural"), "vivid")
    else:
        body["output_format"] = "png"
    return body, {"size": size, "quality": quality}
