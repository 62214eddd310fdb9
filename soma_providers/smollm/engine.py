"""Runs one GGUF model by llama.cpp in this process."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from soma_providers.port import Failure, ProviderError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

CONTEXT_TOKENS = 2048
# More threads wait for each other by spinning, which on a busy machine of few cores is slower by far than one.
_THREADS = 1
_CODE_TOO_LONG = 400


@dataclass(frozen=True)
class ChatMessage:
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
    def handle_chat_completions(self, prompt: object, callback: Callable[[object], bool]) -> object: ...


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

    def chat(
        self, messages: Sequence[ChatMessage], sampling: Sampling, stopped: Callable[[], bool] = lambda: False
    ) -> Answer:
        """Let the model answer, until it is done or `stopped` says so; raise ProviderError."""
        request: dict[str, object] = {
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "seed": sampling.seed,
            "repeat_penalty": sampling.repeat_penalty,
            "cache_prompt": sampling.reuse_prefix,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if sampling.grammar:
            request["grammar"] = sampling.grammar
        if sampling.schema is not None:
            schema = {"name": "answer", "schema": dict(sampling.schema)}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        writing = _Writing(stopped)
        try:
            self._server.handle_chat_completions(request, writing.take)
        except ValueError as error:
            if sampling.schema is None:
                raise
            raise ProviderError(
                Failure.INVALID_INPUT, "the local model cannot write by this schema", pointer="/json_schema"
            ) from error
        return writing.answer()


class _Writing:
    """Gathers an answer piece by piece."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._parts: list[str] = []
        self._finish = ""
        self._usage: Mapping[str, object] = {}
        self._error: object = None
        self._pieces = 0

    def take(self, piece: object) -> bool:
        """Take a piece; True ends the writing."""
        self._pieces += 1
        piece = json.loads(piece) if isinstance(piece, str) else piece
        if not isinstance(piece, Mapping) or "error" in piece:
            self._error = piece["error"] if isinstance(piece, Mapping) else {}
            return True
        for choice in piece.get("choices", ()):
            self._parts.append(str(choice["delta"].get("content") or ""))
            self._finish = str(choice.get("finish_reason") or self._finish)
        self._usage = piece.get("usage") or self._usage
        return self._stopped()

    def answer(self) -> Answer:
        """Give what was written; raise ProviderError."""
        if isinstance(self._error, Mapping) and self._error.get("code") == _CODE_TOO_LONG:
            raise ProviderError(
                Failure.INVALID_INPUT,
                f"the prompt or its schema does not suit the local model, which reads {CONTEXT_TOKENS} tokens",
                pointer="/prompt",
            )
        if self._error is not None or not self._pieces:
            raise ProviderError(Failure.UNAVAILABLE, "the local model failed")
        return Answer(
            text="".join(self._parts),
            complete=self._finish == "stop",
            input_tokens=int(str(self._usage.get("prompt_tokens", 0))),
            output_tokens=int(str(self._usage.get("completion_tokens", len(self._parts)))),
        )
