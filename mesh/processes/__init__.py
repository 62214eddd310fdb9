"""Runs what holds the interpreter in child processes that can be killed."""

from __future__ import annotations

from mesh.processes.cpu_usage import CpuUsage
from mesh.processes.limits import ProcessEndedError, ProcessLimits, ResourceLimitError, TimeLimitError
from mesh.processes.pool import ProcessPool
from mesh.processes.priority import RunningProcess, session_of

__all__ = [
    "CpuUsage",
    "ProcessEndedError",
    "ProcessLimits",
    "ProcessPool",
    "ResourceLimitError",
    "RunningProcess",
    "TimeLimitError",
    "session_of",
]  # fmt: skip
