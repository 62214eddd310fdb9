"""Runs what holds the interpreter in child processes that can be killed."""

from __future__ import annotations

from mesh.processes.limits import ProcessEndedError, ProcessLimits, ResourceLimitError, TimeLimitError
from mesh.processes.pool import ProcessPool

__all__ = ["ProcessEndedError", "ProcessLimits", "ProcessPool", "ResourceLimitError", "TimeLimitError"]
