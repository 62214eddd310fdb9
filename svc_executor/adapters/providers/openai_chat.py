"""Text by any endpoint that speaks OpenAI's chat completions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from svc_executor.adapters.providers.params import Params
from svc_executor.adapters.providers.remote.calls import RemoteCalls, as_count, as_object
from svc_executor.domain.provider import Artefact, Failure, InvocationResult, ProviderError, Usage

if TYPE_CHECKING:
    from svc_executor.domain.provider import Invocation, ProbeResult, Provider, ProviderContext

_ENDPOINT = "https://api.openai.com/v1"
_OPENAI_HOST = "api.openai.com"
_MAX_PROMPT = 100_000


class OpenAiChat:
    """Answers one prompt."""

    provider = "openai"

    def __init__(self, context: ProviderContext) -> None:
        self._calls = RemoteCalls("The chat provider", context)

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Answer `prompt` under `system`, within `max_tokens`; `json_schema` makes the answer an object."""
        body = _request(invocation)
        base = (invocation.endpoint or _ENDPOINT).rstrip("/")
        response = await self._calls.post(
            invocation,
            f"{base}/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            keyless=urlsplit(base).hostname != _OPENAI_HOST,
        )
        return _result(self._calls.json(response), body)

    async def probe(self) -> ProbeResult:
        """Say whether OpenAI's door answers; other endpoints show their health by their calls."""
        return await self._calls.probe(f"{_ENDPOINT}/models")

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
    host = urlsplit(invocation.endpoint or _ENDPOINT).hostname
    # OpenAI itself has given max_tokens up; most of those who speak its language know only that.
    limit = "max_completion_tokens" if host == _OPENAI_HOST else "max_tokens"
    body[limit] = params.whole("max_tokens", 1024, low=1, high=128_000)
    if params.has("temperature"):
        body["temperature"] = params.number("temperature", low=0, high=2)
    if params.has("seed"):
        body["seed"] = params.whole("seed", low=0, high=2**31 - 1)
    schema = params.values.get("json_schema")
    if schema is not None:
        if not isinstance(schema, Mapping):
            raise params.wrong("json_schema", "must be an object")
        named = {"name": "answer", "schema": schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return body


def _prompt(params: Params) -> str:
    """Give the prompt; on a rework it carries the critic's remarks already."""
    if params.has("prompt"):
        return params.text("prompt", max_chars=_MAX_PROMPT)
    points = params.labels("points", limit=100)
    if not points:
        raise params.wrong("prompt", "is required")
    return "Write one paragraph that says exactly this:\n" + "\n".join(f"- {point}" for point in points)


def _result(answer: Mapping[str, object], body: Mapping[str, object]) -> InvocationResult:
    choices = answer.get("choices")
    choice = as_object(choices[0]) if isinstance(choices, list) and choices else {}
    message = as_object(choice.get("message"))
    finish = str(choice.get("finish_reason") or "")
    if message.get("refusal") or finish == "content_filter":
        raise ProviderError(Failure.CONTENT_REJECTED, "the model refuses to answer this")
    text = str(message.get("content") or "")
    structured = "response_format" in body
    if not text.strip() or (structured and finish == "length"):
        raise ProviderError(Failure.UNAVAILABLE, "the model did not finish within max_tokens" if text else "no answer")
    usage = as_object(answer.get("usage"))
    media_type, name = ("application/json", "answer.json") if structured else ("text/plain", "text.txt")
    complete = finish != "length"
    return InvocationResult(
        artefacts=(
            Artefact(text.encode(), media_type, name, "data" if structured else "text", {"complete": complete}),
        ),
        text=text,
        usage=Usage(
            input_tokens=as_count(usage.get("prompt_tokens")), output_tokens=as_count(usage.get("completion_tokens"))
        ),
        model=str(answer.get("model") or body["model"]),
        metadata={"finish_reason": finish, "complete": complete},
    )
