"""What a step needs of a capability, told from its task."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, NamedTuple

from mesh.ids import derive
from soma_providers.port import DEFAULT_OUTPUT_TOKENS, prompt_of, with_feedback
from svc_executor.domain.inputs import for_call, for_provider
from svc_executor.domain.peers import SelectionRequest
from svc_executor.domain.prompts import shorten
from svc_executor.domain.task_dsl import StepType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soma_providers.port import Feedback, JsonValue
    from svc_executor.domain.job import Execution, Job, Step
    from svc_executor.domain.run import SelectInput
    from svc_executor.domain.task_dsl import Task

_BYTES_PER_TOKEN = 2
# Of the largest picture at each quality, by OpenAI's price list for gpt-image-1; any other quality may be the highest.
_MOST_TOKENS = 6_240
_TOKENS_OF_A_PICTURE = {"low": 408, "medium": 1_584, "high": _MOST_TOKENS}
_SHOWN_CHARS = 2_000
_PICTURES = frozenset(
    {StepType.GENERATE_IMAGE, StepType.GENERATE_DIAGRAM, StepType.CAPTURE_SCREENSHOT, StepType.TRANSFORM_ASSET}
)
_SPEECH_CHARS_PER_SECOND = 12
# The selector accepts no more.
_MOST_IMAGES, _MOST_UNITS = 1_000_000, 1_000_000_000


class _Units(NamedTuple):
    """What an attempt may consume at most, whether or not the capability has a price for it."""

    images: int
    input_tokens: int
    output_tokens: int


def selection_request_of(
    job: Job,
    step: Step,
    order: SelectInput,
    params: Mapping[str, JsonValue],
    *,
    again: Execution | None,
    feedback: Sequence[Feedback] = (),
    max_cost_micro_usd: int,
    defaults: Sequence[Mapping[str, JsonValue]] = (),
) -> SelectionRequest:
    """The request of one attempt; `params` have their references resolved. `again` is the attempt that it replaces.

    `feedback` is what the critic said of the attempt that was sent back, which goes to the provider, too.
    `defaults` are default parameters of capabilities that may be chosen: units are counted for the dearest of them.
    """
    task = step.task
    width, height = _resolution(task)
    prompt = prompt_of(params)
    provider_params = for_provider(task, params)
    units = _most_units(task, params, with_feedback("", feedback), defaults)
    return SelectionRequest(
        job_id=job.job_id,
        step_id=step.step_id,
        attempt=order.attempt,
        request_id=_request_id(job, step, order, max_cost_micro_usd, units),
        modality=task.modality,
        task_type=task.task_type,
        formats=_formats(task),
        width_px=width,
        height_px=height,
        prompt_chars=len(prompt),
        duration_s=_duration(task, prompt),
        images=units.images,
        input_tokens=units.input_tokens,
        output_tokens=units.output_tokens,
        context_tokens=_context_tokens(task, params, prompt),
        source_language=str(task.constraints.get("source_language", "")),
        params={name: _shown(value) for name, value in provider_params.items()},
        preferred_provider=again.chosen.provider if again else task.preferred_provider,
        preferred_tool=again.chosen.tool_id if again else task.preferred_tool,
        exclude=tuple(order.exclude),
        fallback_reason=shorten(order.fallback_reason),
        max_cost_micro_usd=max_cost_micro_usd,
        session_id=job.session_id,
        data_classification=job.terms.data_classification,
        persona=job.terms.persona,
        capsule=job.terms.capsule,
        max_cost_tier=job.terms.max_cost_tier,
    )  # fmt: skip


def _request_id(job: Job, step: Step, order: SelectInput, max_cost_micro_usd: int, units: _Units) -> str:
    """Another run asks anew, since what the one before reserved is given back.

    So does a repeat with less cap left, or with more units.
    """
    numbers = (order.attempt, order.job.run, max_cost_micro_usd, *units)
    return derive(job.job_id, step.step_id, *map(str, numbers), "select")


def min_width_px(task: Task) -> int:
    """Width in pixels that the step asks for, 0 when it does not."""
    return _number(task.constraints, "width_px")


def _formats(task: Task) -> tuple[str, ...]:
    value = task.constraints.get("format")
    if isinstance(value, str):
        return (value,)
    return tuple(str(entry) for entry in value) if isinstance(value, list) else ()


def _resolution(task: Task) -> tuple[int, int]:
    most = task.constraints.get("max_resolution")
    width, height = (int(side) for side in most.split("x")) if isinstance(most, str) else (0, 0)
    return _number(task.constraints, "width_px") or width, _number(task.constraints, "height_px") or height


def _duration(task: Task, prompt: str) -> float:
    wanted = task.constraints.get("duration_sec")
    if isinstance(wanted, (int, float)):
        return float(wanted)
    return math.ceil(len(prompt) / _SPEECH_CHARS_PER_SECOND) if task.step_type is StepType.SYNTHESIZE_SPEECH else 0.0


def _most_units(
    task: Task, params: Mapping[str, JsonValue], notes: str, defaults: Sequence[Mapping[str, JsonValue]]
) -> _Units:
    sent = _json_size(for_provider(task, params)) + _json_size(notes)
    found = [_units(task, for_call(task, params, each), sent + _json_size(each)) for each in ({}, *defaults)]
    return _Units(
        max(each.images for each in found),
        max(each.input_tokens for each in found),
        max(each.output_tokens for each in found),
    )


def _units(task: Task, given: Mapping[str, JsonValue], sent_bytes: int) -> _Units:
    """Units of every kind: which of them a capability charges for is known once it is chosen."""
    pictures = max(_number(given, "n"), 1)
    # A finer picture, and one that is not square, may cost one more each.
    dearer = (given.get("quality") == "hd") + (given.get("shape", "square") != "square")
    answer = _number(given, "max_tokens")
    if task.step_type in _PICTURES:
        output = max(pictures * _TOKENS_OF_A_PICTURE.get(str(given.get("quality")), _MOST_TOKENS), answer)
    else:
        output = answer or DEFAULT_OUTPUT_TOKENS
    images, sent = min(pictures * (1 + dearer), _MOST_IMAGES), math.ceil(sent_bytes / _BYTES_PER_TOKEN)
    return _Units(images, min(sent, _MOST_UNITS), min(output, _MOST_UNITS))


def _json_size(value: JsonValue | Mapping[str, JsonValue]) -> int:
    """Bytes of what is given, whichever part of it a provider sends; a character that is not ASCII counts for six."""
    return len(json.dumps(value))


def _context_tokens(task: Task, params: Mapping[str, JsonValue], prompt: str) -> int:
    """Tokens of prompt and answer together that a model must have room for; 0 where no text is asked for."""
    answer = _number(task.constraints, "max_output_tokens") or _number(params, "max_tokens")
    if not answer and task.step_type is StepType.GENERATE_TEXT:
        answer = DEFAULT_OUTPUT_TOKENS
    sent = len(f"{prompt}{params.get('system', '')}".encode("utf-8", "replace"))
    return min(math.ceil(sent / _BYTES_PER_TOKEN) + answer, _MOST_UNITS) if answer else 0


def _number(fields: Mapping[str, JsonValue], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, (int, float)) or not 0 < value < math.inf:
        return 0
    return int(min(value, _MOST_UNITS))


def _shown(value: JsonValue) -> JsonValue:
    """The value with long texts cut: a choice depends on their kind and length, and decisions are recorded."""
    if isinstance(value, str):
        return value[:_SHOWN_CHARS]
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, dict):
        return {name: _shown(item) for name, item in value.items()}
    return value
