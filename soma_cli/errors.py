"""The errors of the commands."""

from __future__ import annotations


class CommandError(Exception):
    """A command failed; the message tells why and what to do."""


class EdgeError(Exception):
    """The mesh returned an error or could not be reached; `code` is the HTTP status, 0 without one."""

    def __init__(self, message: str, *, code: int = 0, reason: str = "", trace_id: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.trace_id = trace_id
