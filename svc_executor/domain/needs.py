"""What a step needs of a capability, told from its task."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mesh.ids import derive
from svc_executor.domain.inputs import for_provider
from svc_executor.domain.peers import Need
from svc_executor.domain.task_dsl import StepType
from svc_executor.domain.wording import prompt_of, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping

    from svc_executor.domain.job import Execution, Job, Step
    from svc_executor.domain.provider import JsonValue
    from svc_executor.domain.run import SelectOrder
    from svc_executor.domain.task_dsl import Task

_CHARS_PER_TOKEN = 2
_DEFAULT_OUTPUT_TOKENS = 1_024
# Of the largest picture at each quality, by OpenAI's price list for gpt-image-1; any other quality may be the highest.
_MOST_TOKENS = 6_240
_TOKENS_OF_A_PICTURE = {"low": 408, "medium": 1_584, "high": _MOST_TOKENS}
_SHOWN_CHARS = 2_000
_PICTURES = frozenset({StepType.GENERATE_IMAGE, StepType.GENERATE_DIAGRAM, StepType.CAPTURE_SCREENSHOT})
_SPEECH_CHARS_PER_SECOND = 12


def need_of(
    job: Job,
    step: Step,
    order: SelectOrder,
    params: Mapping[str, JsonValue],
    *,
    again: Execution | None,
    max_cost_micro_usd: int,
) -> Need:
    """The need of one attempt; `params` have their references resolved. `again` is the attempt that it replaces."""
    task = step.task
    width, height = _resolution(task)
    prompt = prompt_of(params)
    asked = for_provider(task, params)
    return Need(
        job_id=job.job_id,
        step_id=step.step_id,
        attempt=order.attempt,
        request_id=_request_id(job, step, order, max_cost_micro_usd),
        modality=task.modality,
        task_type=task.task_type,
        formats=_formats(task),
        width_px=width,
        height_px=height,
        prompt_chars=len(prompt),
        duration_s=_duration(task, prompt),
        images=_pictures(task, params),
        input_tokens=math.ceil((len(prompt) + len(str(params.get("system", "")))) / _CHARS_PER_TOKEN),
        output_tokens=_output_tokens(task, params),
        source_language=str(task.constraints.get("source_language", "")),
        params={name: _shown(value) for name, value in asked.items()},
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


def _request_id(job: Job, step: Step, order: SelectOrder, max_cost_micro_usd: int) -> str:
    """Another run asks anew, since what the one before reserved is given back; so does a repeat with less cap left."""
    return derive(job.job_id, step.step_id, str(order.attempt), str(order.job.run), str(max_cost_micro_usd), "select")


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


def _pictures(task: Task, params: Mapping[str, JsonValue]) -> int:
    """Price units, as many as it may come to: a finer picture, and one that is not square, may cost one more each."""
    if task.step_type not in _PICTURES:
        return 0
    dearer = 0
    if task.step_type is StepType.GENERATE_IMAGE:
        dearer = (params.get("quality") == "hd") + (params.get("shape", "square") != "square")
    return max(_number(params, "n"), 1) * (1 + dearer)


def _output_tokens(task: Task, params: Mapping[str, JsonValue]) -> int:
    """Tokens that a model may give: those of pictures are for providers that charge for them by the token."""
    if task.step_type is StepType.GENERATE_IMAGE:
        return max(_number(params, "n"), 1) * _TOKENS_OF_A_PICTURE.get(str(params.get("quality")), _MOST_TOKENS)
    given = _number(task.constraints, "max_output_tokens") or _number(params, "max_tokens")
    return given or (_DEFAULT_OUTPUT_TOKENS if task.step_type is StepType.GENERATE_TEXT else 0)


def _number(fields: Mapping[str, JsonValue], name: str) -> int:
    value = fields.get(name)
    return int(value) if isinstance(value, (int, float)) and math.isfinite(value) and value > 0 else 0


def _shown(value: JsonValue) -> JsonValue:
    """The value with long texts cut: a choice depends on their kind and length, and decisions are recorded."""
    if isinstance(value, str):
        return value[:_SHOWN_CHARS]
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, dict):
        return {name: _shown(item) for name, item in value.items()}
    return value
