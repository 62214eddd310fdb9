"""Runs one GGUF model by llama.cpp in this process."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from svc_executor.domain.provider import Failure, ProviderError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CONTEXT_TOKENS = 2048
# More threads wait for each other by spinning, which on a busy machine of few cores is slower by far than one.
_THREADS = 1
_CODE_TOO_LONG = 400


@dataclass(frozen=True)
class Turn:
    """One message: role system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; temperature 0 takes the likeliest. `grammar` is GBNF, `schema` a JSON Schema."""

    max_tokens: int
    temperature: float = 0.0
    seed: int = 0
    repeat_penalty: float = 1.0
    grammar: str = ""
    schema: Mapping[str, object] | None = None
    reuse_prefix: bool = False


@dataclass(frozen=True)
class Answer:
    """What the model wrote; `complete` is false when it ran into `max_tokens`."""

    text: str
    complete: bool
    input_tokens: int
    output_tokens: int


class _Server(Protocol):
    def handle_chat_completions(self, prompt: object) -> object: ...


class ChatEngine:
    """A loaded model; blocking, one call at a time."""

    def __init__(self, model: Path) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.n_ctx = CONTEXT_TOKENS
        params.n_parallel = 1
        params.cpuparams.n_threads = _THREADS
        params.warmup = False
        params.verbosity = -1
        params.ui = False
        params.endpoint_slots = False
        params.cache_ram_mib = 0
        # The library also listens on a loopback port, which nobody is meant to use.
        params.api_keys = [secrets.token_hex(32)]
        self._server: _Server = xllamacpp.Server(params)

    def chat(self, turns: Sequence[Turn], sampling: Sampling) -> Answer:
        """Let the model answer; raise ProviderError."""
        request: dict[str, object] = {
            "messages": [{"role": turn.role, "content": turn.content} for turn in turns],
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "seed": sampling.seed,
            "repeat_penalty": sampling.repeat_penalty,
            "cache_prompt": sampling.reuse_prefix,
        }
        if sampling.grammar:
            request["grammar"] = sampling.grammar
        if sampling.schema is not None:
            schema = {"name": "answer", "schema": dict(sampling.schema)}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        answer = self._server.handle_chat_completions(request)
        return _answer(json.loads(answer) if isinstance(answer, str) else answer)


def _answer(answer: object) -> Answer:
    if not isinstance(answer, Mapping):
        raise ProviderError(Failure.UNAVAILABLE, "the local model gave no answer")
    if "error" in answer:
        error = answer["error"]
        if isinstance(error, Mapping) and error.get("code") == _CODE_TOO_LONG:
            raise ProviderError(
                Failure.INVALID_INPUT,
                f"the prompt or its schema does not suit the local model, which reads {CONTEXT_TOKENS} tokens",
                pointer="/prompt",
            )
        raise ProviderError(Failure.UNAVAILABLE, "the local model failed")
    choice, usage = answer["choices"][0], answer.get("usage", {})
    return Answer(
        text=str(choice["message"].get("content") or ""),
        complete=choice.get("finish_reason") == "stop",
        input_tokens=int(usage.get("prompt_tokens", 0)),
        output_tokens=int(usage.get("completion_tokens", 0)),
    )
