"""What a planned call may consume: asked of providers before a capability is chosen, and of the chosen one."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from soma_providers.port.prompts import prompt_of, with_feedback
from soma_providers.port.provider import DEFAULT_OUTPUT_TOKENS, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_providers.port.provider import Feedback, JsonValue

_BYTES_PER_TOKEN = 2
_SPOKEN_CHARS_PER_SECOND = 12
_SPEECH = "synthesize_speech"
_MOST = 1_000_000_000


@dataclass(frozen=True)
class EstimateRequest:
    """A call that is planned.

    `params` are what the provider would be given, those of the step over the capability's defaults where one is chosen;
    `model` is empty before that. `feedback` is what the critic found wrong with the last attempt.
    """

    step_type: str
    params: Mapping[str, JsonValue]
    task_type: str = ""
    model: str = ""
    constraints: Mapping[str, JsonValue] = field(default_factory=dict)
    feedback: tuple[Feedback, ...] = ()


@runtime_checkable
class EstimatingProvider(Protocol):
    """A provider that knows what its calls consume; `default_estimate` stands for one that does not."""

    def estimate(self, request: EstimateRequest) -> Usage:
        """The most that a call consumes, of every unit that it may report afterwards.

        Computed at once and without a call. Parameters may be wrong, and are then taken at their dearest.
        """


class Estimates(Protocol):
    """What planned calls consume at most."""

    def for_modality(self, modality: str, request: EstimateRequest) -> Usage:
        """The most of each unit over the providers of a modality, for example "image": none is chosen yet."""

    def for_adapter(self, adapter: str, request: EstimateRequest) -> Usage:
        """The most of each unit at the provider of that name."""


def larger_usage(first: Usage, second: Usage) -> Usage:
    """The larger number of each unit."""
    return Usage(
        calls=max(first.calls, second.calls),
        input_tokens=max(first.input_tokens, second.input_tokens),
        output_tokens=max(first.output_tokens, second.output_tokens),
        images=max(first.images, second.images),
        seconds=max(first.seconds, second.seconds),
        estimated=True,
    )


def input_tokens(request: EstimateRequest) -> int:
    """Tokens of all that may be sent: two bytes each, and a character that is not ASCII counts for six bytes."""
    sent = len(json.dumps(dict(request.params))) + len(json.dumps(with_feedback("", request.feedback)))
    return math.ceil(sent / _BYTES_PER_TOKEN)


def text_estimate(request: EstimateRequest) -> Usage:
    """What a call of a language model consumes at most: all that may be sent, and the longest answer."""
    answer = whole_number(request.params, "max_tokens") or DEFAULT_OUTPUT_TOKENS
    return Usage(input_tokens=input_tokens(request), output_tokens=answer, estimated=True)


def default_estimate(request: EstimateRequest) -> Usage:
    """What a call consumes at most where its provider does not say: a text, the pictures or the speech asked for."""
    text = text_estimate(request)
    seconds = 0
    if request.step_type == _SPEECH:
        seconds = spoken_seconds(prompt_of(request.params))
    return Usage(
        input_tokens=text.input_tokens,
        output_tokens=text.output_tokens,
        images=max(whole_number(request.params, "n"), 1),
        seconds=max(seconds, whole_number(request.constraints, "duration_sec")),
        estimated=True,
    )


def spoken_seconds(text: str) -> int:
    """How long a text takes to be read aloud at a usual rate, in seconds."""
    return math.ceil(len(text) / _SPOKEN_CHARS_PER_SECOND)


def whole_number(fields: Mapping[str, JsonValue], name: str) -> int:
    """A whole number that is given under a name, at most 1,000,000,000; 0 for none, and for what is no number."""
    value = fields.get(name)
    if not isinstance(value, (int, float)) or not 0 < value < math.inf:
        return 0
    return math.ceil(min(value, _MOST))
