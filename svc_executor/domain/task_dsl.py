"""The vocabulary of Task DSL 1.0 and a compiled plan."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_providers.port import JsonValue

MICRO_USD_PER_CENT = 10_000
MAX_STEPS = 200


class StepType(StrEnum):
    """What a step does."""

    GENERATE_TEXT = "generate_text"
    GENERATE_IMAGE = "generate_image"
    GENERATE_DIAGRAM = "generate_diagram"
    CAPTURE_SCREENSHOT = "capture_screenshot"
    GENERATE_VIDEO = "generate_video"
    TRANSCRIBE_AUDIO = "transcribe_audio"
    SYNTHESIZE_SPEECH = "synthesize_speech"
    ANALYZE_IMAGE = "analyze_image"
    TRANSFORM_ASSET = "transform_asset"
    COMPOSE_DOCUMENT = "compose_document"
    INVOKE_TOOL = "invoke_tool"


class OnFailure(StrEnum):
    """What follows when every capability of a step failed."""

    FAIL_JOB = "FAIL_JOB"
    SKIP = "SKIP"
    CONTINUE = "CONTINUE"


@dataclass(frozen=True)
class StepKind:
    """What belongs to a step type unless the task says otherwise."""

    modality: str
    task_type: str


KINDS: Mapping[StepType, StepKind] = MappingProxyType(
    {
        StepType.GENERATE_TEXT: StepKind("text", "text_chat"),
        StepType.GENERATE_IMAGE: StepKind("image", "image_photo"),
        StepType.GENERATE_DIAGRAM: StepKind("diagram", "image_diagram"),
        StepType.CAPTURE_SCREENSHOT: StepKind("screenshot", "screenshot"),
        StepType.GENERATE_VIDEO: StepKind("video", "video_short"),
        StepType.TRANSCRIBE_AUDIO: StepKind("audio_stt", "audio_stt"),
        StepType.SYNTHESIZE_SPEECH: StepKind("audio_tts", "audio_tts"),
        StepType.ANALYZE_IMAGE: StepKind("vision", "vision"),
        StepType.TRANSFORM_ASSET: StepKind("image", "image_transform"),
        StepType.COMPOSE_DOCUMENT: StepKind("document", "document"),
        StepType.INVOKE_TOOL: StepKind("tool", "tool"),
    }
)


@dataclass(frozen=True)
class Task:
    """One compiled step. `depends_on` holds the written dependencies and those that references imply."""

    task_id: str
    index: int
    step_type: StepType
    modality: str
    task_type: str
    depends_on: tuple[str, ...] = ()
    params: Mapping[str, JsonValue] = field(default_factory=dict)
    constraints: Mapping[str, JsonValue] = field(default_factory=dict)
    requires_evaluation: bool = False
    rubric: str | Mapping[str, JsonValue] = ""
    preferred_provider: str = ""
    preferred_tool: str = ""
    on_failure: OnFailure = OnFailure.FAIL_JOB

    @property
    def summary(self) -> TaskSummary:
        """The task without what may be large."""
        return TaskSummary(**{each.name: getattr(self, each.name) for each in fields(TaskSummary)})


@dataclass(frozen=True)
class TaskSummary:
    """A task without its params, constraints and rubric."""

    task_id: str
    index: int
    step_type: StepType
    depends_on: tuple[str, ...] = ()
    requires_evaluation: bool = False
    on_failure: OnFailure = OnFailure.FAIL_JOB


@dataclass(frozen=True)
class Plan:
    """A plan without errors. `layers` holds task ids: all tasks of one may run at once, after those before it.

    `max_cost_micro_usd` and `max_duration_s` are 0 when the plan sets no cap, `max_cost_tier` is empty.
    """

    title: str
    tasks: tuple[Task, ...]
    layers: tuple[tuple[str, ...], ...]
    max_cost_micro_usd: int = 0
    max_duration_s: int = 0
    keep_on_failure: bool = False
    data_classification: str = ""
    persona: str = ""
    capsule: str = ""
    max_cost_tier: str = ""

    def task(self, task_id: str) -> Task:
        """The task of that name; KeyError when there is none."""
        for task in self.tasks:
            if task.task_id == task_id:
                return task
        raise KeyError(task_id)


@dataclass(frozen=True)
class PlanError:
    """One thing wrong with a plan: where (JSON pointer), a stable code, and a sentence with what would be right."""

    pointer: str
    code: str
    message: str
