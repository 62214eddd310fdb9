"""The words of an invocation's parameters: what is asked for, and what the critic had to say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soma_providers.port.provider import Feedback, JsonValue

_ASKING = ("prompt", "text", "instruction", "query", "description", "source", "title", "url")
_CONVERSATION = "messages"
_WORDED = frozenset(
    {
        "title", "subtitle", "label", "text", "name", "caption", "heading", "description", "body", "points", "message",
        "x_label", "y_label", "categories", "members", "attributes", "methods",
    }
)  # fmt: skip


def prompt_of(params: Mapping[str, JsonValue]) -> str:
    """What is asked of a capability, in words.

    The first telling parameter; else what was said; else the titles and labels of what is described; else JSON.
    """
    for name in _ASKING:
        value = params.get(name)
        if isinstance(value, str) and value.strip():
            return value
    messages = params.get(_CONVERSATION)
    if isinstance(messages, list):
        contents = [message.get("content") for message in messages if isinstance(message, dict)]
        return "\n".join(text for text in contents if isinstance(text, str))
    if worded := list(_worded(params, spoken=False)):
        return "\n".join(dict.fromkeys(worded))
    return json.dumps(params, ensure_ascii=False, sort_keys=True, default=str)


def _worded(value: JsonValue, *, spoken: bool) -> Iterator[str]:
    """Texts below names that hold words for people, in the order they are written."""
    if isinstance(value, str):
        if spoken and value.strip():
            yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _worded(item, spoken=name in _WORDED)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _worded(item, spoken=spoken)


def with_feedback(prompt: str, feedback: Sequence[Feedback]) -> str:
    """A prompt for the next try, with what the critic found wrong with the last."""
    if not feedback:
        return prompt
    points = "\n".join(f"- {point.message}" for point in feedback)
    return f"{prompt}\n\nAn earlier answer was sent back. Mend this:\n{points}"
