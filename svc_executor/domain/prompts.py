"""The words of a step: what was asked for, and what the critic had to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.redaction import Redactor
from soma_providers.port import prompt_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soma_providers.port import Feedback, JsonValue

CRITIC_PARAMS = frozenset({"request", "expected_labels"})
_MAX_SUMMARY_CHARS = 480


def requested_text(params: Mapping[str, JsonValue]) -> str:
    """What the critic measures relevance against: `request` where the step gives it, else the prompt."""
    request = params.get("request")
    return request if isinstance(request, str) and request.strip() else prompt_of(params)


def expected_labels_of(params: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """Labels that should be readable in the result: `expected_labels` of the step."""
    labels = params.get("expected_labels")
    return tuple(str(label) for label in labels) if isinstance(labels, list) else ()


def feedback_summary(feedback: Sequence[Feedback]) -> str:
    """What the critic found wrong, in one line; it quotes what is personal or secret as little as a log would."""
    return shorten(Redactor().text("; ".join(f"{point.code}: {point.message}" for point in feedback)))


def shorten(text: str, limit: int = _MAX_SUMMARY_CHARS) -> str:
    """Text cut to a limit, with a mark where it was cut."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
