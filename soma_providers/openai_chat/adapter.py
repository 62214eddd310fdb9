"""Text by any endpoint that speaks OpenAI's chat completions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from soma_providers.media.params import Params
from soma_providers.media.remote.calls import RemoteCalls, as_object, host_of, tokens_of, tokens_used
from soma_providers.port import (
    DEFAULT_OUTPUT_TOKENS,
    Artefact,
    Failure,
    FailureOrigin,
    InvocationResult,
    ProviderError,
    Usage,
    text_estimate,
)

if TYPE_CHECKING:
    from soma_providers.port import EstimateRequest, Invocation, ProbeResult, Provider, ProviderContext

_ENDPOINT = "https://api.openai.com/v1"
_OPENAI_HOST = "api.openai.com"
_MAX_PROMPT = 100_000
_CUT_OFF = "length"


class OpenAiChat:
    """Answers one prompt."""

    provider = "openai"

    def __init__(self, context: ProviderContext) -> None:
        self._calls = RemoteCalls("The chat provider", _ENDPOINT, context)

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Answer `prompt` under `system`, within `max_tokens`; `json_schema` makes the answer an object."""
        body = _request(invocation)
        content = json.dumps(body)
        max_usage = Usage(input_tokens=tokens_of(content), output_tokens=_limit(invocation))
        response = await self._calls.post(
            invocation,
            "/chat/completions",
            content.encode(),
            {"Content-Type": "application/json"},
            max_usage=max_usage,
            allow_missing_key=host_of(self._calls.base(invocation)) != _OPENAI_HOST,
        )
        answer = self._calls.json(response, max_usage)
        usage = tokens_used(answer.get("usage"), "prompt_tokens", "completion_tokens", max_usage)
        return _result(answer, body, usage)

    def estimate(self, request: EstimateRequest) -> Usage:
        """All that is sent, and the longest answer that is asked for."""
        return text_estimate(request)

    async def probe(self) -> ProbeResult:
        """Say whether OpenAI answers; other endpoints show their health by their calls."""
        return await self._calls.probe("/models")

    async def aclose(self) -> None:
        """Nothing is kept."""


def create(context: ProviderContext) -> Provider:
    """Build the adapter."""
    return OpenAiChat(context)


def _request(invocation: Invocation) -> dict[str, object]:
    params = Params(invocation.params)
    if not invocation.model:
        raise ProviderError(Failure.INVALID_INPUT, "the capability names no model")
    turns = [{"role": "system", "content": params.text("system", max_chars=20_000)}] if params.has("system") else []
    turns.append({"role": "user", "content": _prompt(params)})
    body: dict[str, object] = {"model": invocation.model, "messages": turns, "stream": False}
    host = host_of(invocation.endpoint or _ENDPOINT)
    # OpenAI itself has given max_tokens up; most of those who speak its language know only that.
    limit = "max_completion_tokens" if host == _OPENAI_HOST else "max_tokens"
    body[limit] = _limit(invocation)
    if params.has("temperature"):
        body["temperature"] = params.number("temperature", low=0, high=2)
    if params.has("seed"):
        body["seed"] = params.integer("seed", low=0, high=2**31 - 1)
    schema = params.values.get("json_schema")
    if schema is not None:
        if not isinstance(schema, Mapping):
            raise params.error("json_schema", "must be an object")
        named = {"name": "answer", "schema": schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return body


def _prompt(params: Params) -> str:
    """Give the prompt; on a rework it carries the critic's remarks already."""
    if params.has("prompt"):
        return params.text("prompt", max_chars=_MAX_PROMPT)
    points = params.labels("points", limit=100)
    if not points:
        raise params.error("prompt", "is required")
    return "Write one paragraph that says exactly this:\n" + "\n".join(f"- {point}" for point in points)


def _limit(invocation: Invocation) -> int:
    """Give the longest answer in tokens."""
    return Params(invocation.params).integer("max_tokens", DEFAULT_OUTPUT_TOKENS, low=1, high=128_000)


def _result(answer: Mapping[str, object], body: Mapping[str, object], usage: Usage) -> InvocationResult:
    choices = answer.get("choices")
    choice = as_object(choices[0]) if isinstance(choices, list) and choices else {}
    message = as_object(choice.get("message"))
    finish = str(choice.get("finish_reason") or "")
    text = str(message.get("content") or "")
    structured = "response_format" in body
    _check(message, finish, structured=structured, usage=usage)
    media_type, name = ("application/json", "answer.json") if structured else ("text/plain", "text.txt")
    complete = finish != _CUT_OFF
    return InvocationResult(
        artefacts=(
            Artefact(text.encode(), media_type, name, "data" if structured else "text", {"complete": complete}),
        ),
        text=text,
        usage=usage,
        model=str(answer.get("model") or body["model"]),
        metadata={"finish_reason": finish, "complete": complete},
    )


def _check(message: Mapping[str, object], finish: str, *, structured: bool, usage: Usage) -> None:
    """Raise ProviderError for an answer that is none: it depends on what was asked, and it is paid for."""
    if message.get("refusal") or finish == "content_filter":
        raise ProviderError(Failure.CONTENT_REJECTED, "the model refuses to answer this", usage=usage)
    text = str(message.get("content") or "")
    if finish == _CUT_OFF and (structured or not text.strip()):
        raise ProviderError(
            Failure.INVALID_INPUT, "params/max_tokens: the answer does not fit", pointer="/max_tokens", usage=usage
        )
    if not text.strip():
        raise ProviderError(Failure.UNAVAILABLE, "no answer", origin=FailureOrigin.CALLER, usage=usage)
    if structured and not _is_json(text):
        raise ProviderError(Failure.UNAVAILABLE, "the answer is not JSON", origin=FailureOrigin.CALLER, usage=usage)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
