"""What a step needs of a capability, told from its task."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.ids import derive
from soma_providers.port import DEFAULT_OUTPUT_TOKENS, EstimateRequest, prompt_of, spoken_seconds
from svc_executor.domain.inputs import call_params, provider_params
from svc_executor.domain.peers import SelectionRequest
from svc_executor.domain.prompts import shorten
from svc_executor.domain.task_dsl import StepType
from svc_executor.domain.usage import clamp_usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soma_providers.port import Feedback, JsonValue, Usage
    from svc_executor.domain.job import Execution, Job, SelectedCapability, Step
    from svc_executor.domain.run import SelectInput
    from svc_executor.domain.task_dsl import Task

_BYTES_PER_TOKEN = 2
_MAX_PARAM_CHARS = 2_000
_MAX_TOKENS = 1_000_000_000
"""The selector accepts no more."""


def estimate_request_of(
    task: Task,
    params: Mapping[str, JsonValue],
    feedback: Sequence[Feedback],
    capability: SelectedCapability | None = None,
) -> EstimateRequest:
    """The call that a provider is asked to estimate: that of the chosen capability, or of any."""
    return EstimateRequest(
        step_type=task.step_type.value,
        task_type=task.task_type,
        params=call_params(task, params, capability.default_parameters if capability else {}),
        model=capability.model if capability else "",
        constraints=task.constraints,
        feedback=tuple(feedback),
    )


def selection_request_of(
    job: Job,
    step: Step,
    select_input: SelectInput,
    params: Mapping[str, JsonValue],
    *,
    replaced: Execution | None,
    max_cost_micro_usd: int,
    units: Usage,
) -> SelectionRequest:
    """The request of one attempt; `params` have their references resolved. `replaced` is the attempt that it replaces.

    `units` are what its call consumes at most.
    """
    task = step.task
    width, height = _resolution(task)
    prompt = prompt_of(params)
    own_params = provider_params(task, params)
    duration_s = _duration(task, prompt)
    units = clamp_usage(replace(units, seconds=max(units.seconds, duration_s)))
    return SelectionRequest(
        job_id=job.job_id,
        step_id=step.step_id,
        attempt=select_input.attempt,
        request_id=_request_id(job, step, select_input, max_cost_micro_usd, units),
        modality=task.modality,
        task_type=task.task_type,
        formats=_formats(task),
        width_px=width,
        height_px=height,
        prompt_chars=len(prompt),
        duration_s=duration_s,
        units=units,
        context_tokens=_context_tokens(task, params, prompt),
        source_language=str(task.constraints.get("source_language", "")),
        params={name: _shorten_texts(value) for name, value in own_params.items()},
        preferred_provider=replaced.capability.provider if replaced else task.preferred_provider,
        preferred_tool=replaced.capability.tool_id if replaced else task.preferred_tool,
        exclude=tuple(select_input.exclude),
        fallback_reason=shorten(select_input.fallback_reason),
        max_cost_micro_usd=max_cost_micro_usd,
        session_id=job.session_id,
        data_classification=job.options.data_classification,
        persona=job.options.persona,
        capsule=job.options.capsule,
        max_cost_tier=job.options.max_cost_tier,
    )  # fmt: skip


def _request_id(job: Job, step: Step, select_input: SelectInput, max_cost_micro_usd: int, units: Usage) -> str:
    """Another run asks anew, since what the one before reserved is given back.

    So does a repeat with less cap left, or with more units.
    """
    counted = (units.calls, units.images, units.seconds, units.input_tokens, units.output_tokens)
    numbers = (select_input.attempt, select_input.job.run, max_cost_micro_usd, *counted)
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
    resolution = task.constraints.get("max_resolution")
    width, height = (int(side) for side in resolution.split("x")) if isinstance(resolution, str) else (0, 0)
    return _number(task.constraints, "width_px") or width, _number(task.constraints, "height_px") or height


def _duration(task: Task, prompt: str) -> float:
    """Seconds that are asked for; what providers estimate bounds the cost, and excludes no capability."""
    seconds = task.constraints.get("duration_sec")
    if isinstance(seconds, (int, float)):
        return float(seconds)
    return float(spoken_seconds(prompt)) if task.step_type is StepType.SYNTHESIZE_SPEECH else 0.0


def _context_tokens(task: Task, params: Mapping[str, JsonValue], prompt: str) -> int:
    """Tokens of prompt and answer together that a model must have room for; 0 where no text is asked for."""
    output_tokens = _number(task.constraints, "max_output_tokens") or _number(params, "max_tokens")
    if not output_tokens and task.step_type is StepType.GENERATE_TEXT:
        output_tokens = DEFAULT_OUTPUT_TOKENS
    input_bytes = len(f"{prompt}{params.get('system', '')}".encode("utf-8", "replace"))
    return min(math.ceil(input_bytes / _BYTES_PER_TOKEN) + output_tokens, _MAX_TOKENS) if output_tokens else 0


def _number(fields: Mapping[str, JsonValue], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, (int, float)) or not 0 < value < math.inf:
        return 0
    return int(min(value, _MAX_TOKENS))


def _shorten_texts(value: JsonValue) -> JsonValue:
    """The value with long texts cut: a choice depends on their kind and length, and decisions are recorded."""
    if isinstance(value, str):
        return value[:_MAX_PARAM_CHARS]
    if isinstance(value, list):
        return [_shorten_texts(item) for item in value]
    if isinstance(value, dict):
        return {name: _shorten_texts(item) for name, item in value.items()}
    return value
