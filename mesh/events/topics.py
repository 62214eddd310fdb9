"""The topics of the mesh: those of the platform, and those that the contexts declare."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mesh.contexts import ContextDeclaration

CONVERSATION_INBOUND = "conversation.inbound"
CONVERSATION_OUTBOUND = "conversation.outbound"
TOOL_REQUESTS = "tool.requests"
TOOL_RESULTS = "tool.results"
AUDIT = "audit.events"
DEAD_LETTERS = "dlq.events"
MEMORY_LOG = "memory.wal"
FEEDBACK_DEAD_LETTERS = "task.feedback.dlq"

PLATFORM_TOPICS = (
    CONVERSATION_INBOUND,
    CONVERSATION_OUTBOUND,
    TOOL_REQUESTS,
    TOOL_RESULTS,
    AUDIT,
    DEAD_LETTERS,
    MEMORY_LOG,
    FEEDBACK_DEAD_LETTERS,
)
"""The topics that do not belong to the facts of one context."""


def facts_of(context: str) -> str:
    """The topic of a context's facts."""
    return f"{context}.events"


def topics(contexts: Iterable[ContextDeclaration]) -> tuple[str, ...]:
    """Every topic of a mesh of these contexts; a bus that has to make its topics makes these when it starts."""
    own = (topic for context in contexts for topic in (*context.publishes, *context.consumes))
    return tuple(dict.fromkeys((*PLATFORM_TOPICS, *own)))
