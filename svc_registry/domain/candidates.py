"""Which capabilities could serve a need, and why the others could not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from svc_registry.domain.model import Capability, JsonObject, Lifecycle, Modality

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Requirements:
    """What a step needs; zero, empty or None means any."""

    modality: Modality
    task_type: str
    formats: tuple[str, ...] = ()
    width_px: int = 0
    height_px: int = 0
    prompt_chars: int = 0
    context_tokens: int = 0
    duration_s: float = 0.0
    source_language: str = ""
    params: JsonObject | None = None


@dataclass(frozen=True)
class Rejection:
    """A capability that cannot serve: a code for programs, a sentence for people."""

    capability_id: str
    code: str
    reason: str


def _over(needed: float, limit: float, code: str, what: str) -> Iterator[tuple[str, str]]:
    if limit and needed > limit:
        yield code, f"{what} of {needed:g} is above its limit of {limit:g}"


def _obstacles(capability: Capability, need: Requirements) -> Iterator[tuple[str, str]]:
    limits = capability.constraints
    if capability.lifecycle is Lifecycle.DISABLED:
        yield "DISABLED", "it is disabled"
    if need.task_type not in capability.task_types:
        yield "TASK_TYPE_MISMATCH", f"it serves {', '.join(capability.task_types)}, not {need.task_type}"
    if need.formats and limits.formats and not set(need.formats) & set(limits.formats):
        yield "FORMAT_MISMATCH", f"it makes {', '.join(limits.formats)}, not {', '.join(need.formats)}"
    if need.source_language and need.source_language not in limits.source_languages:
        yield "LANGUAGE_MISMATCH", f"it does not read {need.source_language} sources"
    yield from _over(need.width_px, limits.max_width_px, "TOO_WIDE", "a width in pixels")
    yield from _over(need.height_px, limits.max_height_px, "TOO_HIGH", "a height in pixels")
    yield from _over(need.prompt_chars, limits.max_prompt_chars, "PROMPT_TOO_LONG", "a prompt length in characters")
    yield from _over(need.context_tokens, limits.context_window_tokens, "CONTEXT_TOO_SMALL", "a token count")
    yield from _over(need.duration_s, limits.max_duration_s, "TOO_LONG", "a duration in seconds")


def first_rejection(capability: Capability, need: Requirements) -> Rejection | None:
    """The first obstacle between a capability and a need, its parameters aside, or None when it could serve."""
    for code, reason in _obstacles(capability, need):
        return Rejection(capability.capability_id, code, reason)
    return None


def params_mismatch(capability_id: str, error: str) -> Rejection:
    """A capability whose input schema the parameters do not fit."""
    return Rejection(capability_id, "PARAMS_MISMATCH", f"its parameters do not fit: {error}")


def schema_unusable(capability_id: str, problem: str) -> Rejection:
    """A capability whose input schema cannot be used for any parameters."""
    return Rejection(capability_id, "SCHEMA_UNUSABLE", f"its input_schema cannot be used: {problem}")
