"""Reads traces of jobs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from mesh.errors import not_found
from mesh.fairness import FairSlots
from mesh.thread_slots import run_in_thread
from svc_provenance.domain.trace import build_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from svc_provenance.app.ports import ProvenanceStore
    from svc_provenance.domain.model import TraceEntry
    from svc_provenance.domain.trace import Trace

T = TypeVar("T")
_MAX_CONCURRENT_READS = 2
_MAX_WAITING_OF_TENANT = 256


class Traces:
    """Reads the entries of traces, and converts them in threads.

    The entries of a job may be tens of megabytes: those of one job of a tenant are in memory at a time, and of two jobs
    in all. Waiting tenants take turns.
    """

    def __init__(self, store: ProvenanceStore) -> None:
        self._store = store
        self._slots = FairSlots(
            "reading traces", _MAX_CONCURRENT_READS, per_tenant=1, waiting_per_tenant=_MAX_WAITING_OF_TENANT
        )

    async def get(self, tenant_id: str, job_id: str, convert: Callable[[str, Trace, Sequence[TraceEntry]], T]) -> T:
        """Returns what `convert` makes of a job's trace and of its entries; NOT_FOUND for an unknown job."""
        trace = await self.read(tenant_id, job_id, lambda entries: convert(job_id, build_trace(entries), entries))
        if trace is None:
            raise not_found("trace", job_id)
        return trace

    async def read(self, tenant_id: str, job_id: str, convert: Callable[[Sequence[TraceEntry]], T]) -> T | None:
        """Returns what `convert` makes of the entries of a job, in a thread; None for an unknown job.

        OVERLOADED when too many calls wait.
        """
        async with self._slots.slot(tenant_id):
            entries = await self._store.trace_entries(tenant_id, job_id)
            return await run_in_thread(partial(convert, entries)) if entries else None
