"""Runs what holds the interpreter in child processes that can be killed."""

from __future__ import annotations

from mesh.processes.limits import ProcessEndedError, ProcessLimits, ResourceLimitError, TimeLimitError
from mesh.processes.pool import ProcessPool
from mesh.processes.priority import RunningProcess, session_of
from mesh.processes.use import ProcessorUse

__all__ = [
    "ProcessEndedError", "ProcessLimits", "ProcessPool", "ProcessorUse", "ResourceLimitError", "RunningProcess",
    "TimeLimitError", "session_of",
]  # fmt: skip
