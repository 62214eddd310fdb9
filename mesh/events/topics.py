"""The topics of the mesh, all in one place."""

from __future__ import annotations

CONVERSATION_INBOUND = "conversation.inbound"
CONVERSATION_OUTBOUND = "conversation.outbound"
TOOL_REQUESTS = "tool.requests"
TOOL_RESULTS = "tool.results"
AUDIT = "audit.events"
DEAD_LETTERS = "dlq.events"
MEMORY_LOG = "memory.wal"
FEEDBACK_DEAD_LETTERS = "task.feedback.dlq"

CONTEXTS = ("gateway", "registry", "selector", "executor", "assets", "critic", "provenance")
"""The contexts that tell facts."""


def facts_of(context: str) -> str:
    """The topic of a context's facts."""
    return f"{context}.events"


TOPICS = (
    CONVERSATION_INBOUND,
    CONVERSATION_OUTBOUND,
    TOOL_REQUESTS,
    TOOL_RESULTS,
    AUDIT,
    DEAD_LETTERS,
    MEMORY_LOG,
    FEEDBACK_DEAD_LETTERS,
    *(facts_of(context) for context in CONTEXTS),
)
"""Every topic; a bus that has to make its topics makes these when it starts."""
