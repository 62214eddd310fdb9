"""What a child process may use, and the errors when it would use more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ProcessLimits:
    """Limits of a pool and of each call in it. Times are in seconds, memory in MiB.

    `processes` children run at once, `per_tenant` of them for one tenant, and at most half of them for tenants with
    long calls (`mesh.processes.cpu_usage`), so that another tenant finds a free one.
    `cpu_s` is processor time and the limit that holds on a busy machine; `time_s` is elapsed time and so larger.
    `memory_mb` is what a child may allocate in all, its interpreter and libraries included. A child is replaced after
    `calls` calls, and ended when it has been idle for `idle_s`. `nice` lowers its scheduling priority, so that event
    loops answer while children work; for a heavy tenant it works only while nothing else wants the processor.
    """

    processes: int = 4
    per_tenant: int = 1
    waiting_per_tenant: int = 64
    cpu_s: float = 20.0
    time_s: float = 60.0
    memory_mb: int = 512
    result_mb: int = 64
    calls: int = 500
    idle_s: float = 60.0
    nice: int = 5


class TimeLimitError(Exception):
    """The work took more processor time or elapsed time than its limit; its process was killed."""


class ResourceLimitError(Exception):
    """The work needed more memory, or gave a larger result, than its limit."""


class ProcessEndedError(Exception):
    """The process of the work ended by itself, for example by a fault in a native library."""
