"""What a command says when it cannot do what was asked."""

from __future__ import annotations


class CommandError(Exception):
    """A command failed; the text says why and what to do."""


class EdgeError(Exception):
    """The mesh refused a request or could not be reached; the text is for people."""

    def __init__(self, message: str, *, code: int = 0, reason: str = "", trace_id: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.trace_id = trace_id
