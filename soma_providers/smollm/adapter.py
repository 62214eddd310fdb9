"""SmolLM2-135M-Instruct, a chat model small enough to come with the product."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mesh.json_schema import SchemaError, compile_schema
from mesh.lazy_resource import LazyResource
from soma_local.locate import tools
from soma_local.locate.wheels import MissingError
from soma_providers.media.background_task import AdapterBackgroundTask
from soma_providers.media.feedback import LONGER, SHORTER, has_code, max_hint
from soma_providers.media.params import Params, clean
from soma_providers.port import (
    Artefact,
    Capacity,
    Failure,
    FailureOrigin,
    InvocationResult,
    ProbeResult,
    ProviderError,
    Usage,
    prompt_of,
    text_estimate,
    with_feedback,
)
from soma_providers.smollm.engine import Answer, ChatEngine, Sampling
from soma_providers.smollm.prose import (
    ONE_SENTENCE,
    accept_or_keep_original,
    fix_comma_spacing,
    paragraph_grammar,
    paragraph_messages,
    point_messages,
    whole_sentences,
)
from soma_providers.smollm.thread import ModelThread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.clock import Clock
    from soma_providers.port import EstimateRequest, Invocation, JsonValue, Provider, ProviderContext
    from soma_providers.smollm.engine import ChatMessage

Chat = Callable[["Sequence[ChatMessage]", Sampling], Answer]
_MAX_TOKENS = 1024
_MAX_POINTS = 30
_POINT_TOKENS = 90
_TOKENS_PER_SENTENCE = 45
_CHARS_PER_SENTENCE = 110
_PATTERNS = frozenset({"pattern", "patternProperties"})
_NAMED = frozenset({"properties", "$defs", "definitions"})
_VALUES = frozenset({"const", "enum", "default", "examples"})


class SmolLm:
    """Writes prose from a prompt, sentences from points, or JSON by a schema; the same for the same seed."""

    provider = "local"
    capacity = Capacity(1, 1)

    def __init__(self, clock: Clock, idle_s: float) -> None:
        self._thread = ModelThread("smollm")
        self._model = LazyResource("smollm", _load, clock, idle_s)
        self._background_task = AdapterBackgroundTask(self._model.run_idle_unloader, "smollm-idle", clock)

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._model.loaded

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Write sentences from `points`, a paragraph from `prompt`, or an object by `json_schema` from `prompt`."""
        await self._background_task.start()
        params = Params(invocation.params)
        if params.has("json_schema"):
            return await self._run(invocation, lambda chat: _structured(chat, params))
        return await self._run(invocation, lambda chat: _prose(chat, invocation, params))

    def estimate(self, request: EstimateRequest) -> Usage:
        """One answer; sentences from points are short."""
        return text_estimate(request)

    async def probe(self) -> ProbeResult:
        """Say whether the model's file is there."""
        try:
            tools.chat_model()
        except MissingError as error:
            return ProbeResult(healthy=False, detail=str(error))
        return ProbeResult(healthy=True)

    async def aclose(self) -> None:
        """Let go of the model."""
        self._thread.close()
        await self._background_task.aclose()
        self._model.release()

    async def _run(self, invocation: Invocation, write: Callable[[Chat], InvocationResult]) -> InvocationResult:
        def work(stopped: Callable[[], bool]) -> InvocationResult:
            def chat(messages: Sequence[ChatMessage], sampling: Sampling) -> Answer:
                if stopped():
                    raise ProviderError(Failure.TIMEOUT, "the local model was stopped", origin=FailureOrigin.CALLER)
                with self._model.use() as engine:
                    return engine.chat(messages, sampling, stopped)

            return write(chat)

        return await self._thread.run(invocation.tenant_id, invocation.timeout_s, work)


def create(context: ProviderContext) -> Provider:
    """Build the adapter; the model is loaded with the first prompt, and let go of after a while without any."""
    return SmolLm(context.clock, context.idle_s)


def _prose(chat: Chat, invocation: Invocation, params: Params) -> InvocationResult:
    points = [params.values["points"]] if isinstance(params.values.get("points"), str) else None
    notes = Params({"points": points}) if points else params
    entries = notes.labels("points", limit=_MAX_POINTS)
    prompt = _request(invocation, params)
    longer = has_code(invocation.feedback, LONGER)
    answers: list[Answer] = []
    parts: list[str] = []
    originals = 0
    for index, point in enumerate(entries):
        # The first reads the examples afresh, whatever was asked before: equal input must give equal text.
        sampling = Sampling(_POINT_TOKENS, grammar=ONE_SENTENCE, reuse_prefix=index > 0)
        answer = chat(point_messages(point), sampling)
        sentence = accept_or_keep_original(point, answer.text.strip())
        originals += sentence.is_original
        answers.append(answer)
        parts.append(sentence.text)
    if not entries or (longer and prompt):
        answer = _paragraph(chat, invocation, params, prompt)
        answers.append(answer)
        parts.append(answer.text)
    echo = _echo(params)
    return _result(" ".join(parts), answers, {**echo, "points_as_given": originals} if entries else echo)


def _paragraph(chat: Chat, invocation: Invocation, params: Params, request: str) -> Answer:
    longer = has_code(invocation.feedback, LONGER)
    prompt = Params({"prompt": request}).text("prompt", max_chars=5000)
    system = params.text("system", "", max_chars=2000)
    sentences = params.integer("sentences", 4, low=1, high=12)
    wanted = max_hint(invocation.feedback, "min_chars") / _CHARS_PER_SENTENCE
    wanted = max(wanted, max_hint(invocation.feedback, "min_words") * 6 / _CHARS_PER_SENTENCE)
    if longer:
        sentences = min(12, max(sentences + 2, int(wanted) + 1))
    elif has_code(invocation.feedback, SHORTER):
        sentences = max(1, sentences - 2)
    tokens = params.integer("max_tokens", (sentences + 2) * _TOKENS_PER_SENTENCE, low=8, high=_MAX_TOKENS)
    if longer:
        tokens = min(_MAX_TOKENS, max(tokens, (sentences + 2) * _TOKENS_PER_SENTENCE))
    free = params.choice("style", ("prose", "free"), "prose") == "free"
    sampling = Sampling(
        max_tokens=tokens,
        temperature=params.number("temperature", 0.2, low=0, high=2),
        # A remark that a longer text does not answer asks for another text; so small a model cannot follow words.
        seed=params.integer("seed", 7, low=0, high=2**31 - 1) + (0 if longer else len(invocation.feedback)),
        repeat_penalty=1.1,
        grammar="" if free else paragraph_grammar(sentences),
    )
    answer = chat(paragraph_messages(prompt, system), sampling)
    text = answer.text if answer.complete else whole_sentences(answer.text)
    text = text.strip() if free else fix_comma_spacing(text)
    return Answer(text, answer.complete, answer.input_tokens, answer.output_tokens)


def _structured(chat: Chat, params: Params) -> InvocationResult:
    schema = params.values["json_schema"]
    if not isinstance(schema, Mapping):
        raise params.error("json_schema", "must be an object")
    _check_schema(params, schema)
    prompt, system = params.text("prompt", max_chars=5000), params.text("system", "", max_chars=2000)
    messages = paragraph_messages(prompt, system or "Answer in JSON.")
    sampling = Sampling(
        max_tokens=params.integer("max_tokens", 512, low=8, high=_MAX_TOKENS),
        temperature=params.number("temperature", 0.0, low=0, high=2),
        seed=params.integer("seed", 7, low=0, high=2**31 - 1),
        schema=dict(schema),
    )
    answer = chat(messages, sampling)
    try:
        json.loads(answer.text)
    except ValueError as error:
        raise ProviderError(
            Failure.INVALID_INPUT,
            "the answer does not fit into max_tokens: raise it, or bound the schema's lengths",
            pointer="/max_tokens",
            usage=_usage([answer]),
        ) from error
    return _result(answer.text, [answer], _echo(params))


def _check_schema(params: Params, schema: Mapping[str, JsonValue]) -> None:
    try:
        compile_schema(schema)  # type: ignore[arg-type] # two names of one type
    except SchemaError as error:
        raise params.error("json_schema", f"must be a JSON Schema (2020-12) within bounds: {error}") from None
    if _has_pattern(schema):
        # llama.cpp follows every way to read a pattern at each character: a short one takes it for ever.
        raise params.error("json_schema", "must have no pattern: the local model writes by types, lengths and values")


def _has_pattern(schema: JsonValue) -> bool:
    if isinstance(schema, list):
        return any(map(_has_pattern, schema))
    if not isinstance(schema, Mapping):
        return False
    return any(
        any(map(_has_pattern, value.values()))
        if keyword in _NAMED and isinstance(value, Mapping)
        else keyword in _PATTERNS or (keyword not in _VALUES and _has_pattern(value))
        for keyword, value in schema.items()
    )


def _load() -> ChatEngine:
    try:
        return ChatEngine(tools.chat_model().path)
    except (MissingError, ImportError) as error:
        raise ProviderError(Failure.UNAVAILABLE, "the local chat model is not installed") from error


def _request(invocation: Invocation, params: Params) -> str:
    """Give the prompt without the critic's remarks, which so small a model would write about instead of heeding."""
    prompt = params.text("prompt", "", max_chars=20_000)
    if not invocation.feedback:
        return prompt
    prompt = prompt.removesuffix(clean(with_feedback("", invocation.feedback), "/prompt"))
    others = {name: value for name, value in params.values.items() if name != "prompt"}
    return "" if prompt == prompt_of(others) else prompt


def _echo(params: Params) -> dict[str, JsonValue]:
    known = ("seed", "temperature", "max_tokens", "sentences", "style")
    return {"seed": 7, **{name: params.values[name] for name in known if params.has(name)}}


def _usage(answers: Sequence[Answer]) -> Usage:
    return Usage(
        input_tokens=sum(answer.input_tokens for answer in answers),
        output_tokens=sum(answer.output_tokens for answer in answers),
    )


def _result(text: str, answers: list[Answer], echo: dict[str, JsonValue]) -> InvocationResult:
    if not text.strip():
        raise ProviderError(
            Failure.UNAVAILABLE, "the local model wrote nothing", origin=FailureOrigin.CALLER, usage=_usage(answers)
        )
    finish = {**echo, "complete": all(answer.complete for answer in answers)}
    json_like = text.lstrip().startswith("{")
    media, name = ("application/json", "answer.json") if json_like else ("text/plain", "text.txt")
    return InvocationResult(
        artefacts=(Artefact(text.encode(), media, name, "data" if json_like else "text", finish),),
        text=text,
        usage=_usage(answers),
        model="SmolLM2-135M-Instruct",
        metadata=finish,
    )
