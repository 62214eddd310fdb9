"""What was decided and done for jobs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from mesh.errors import not_found
from mesh.fairness import FairSlots
from mesh.thread_slots import run_in_thread
from svc_provenance.domain.trace import join

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from svc_provenance.app.ports import Record
    from svc_provenance.domain.model import Fact
    from svc_provenance.domain.trace import Trace

T = TypeVar("T")
_AT_ONCE = 2
_WAITING = 256


class Traces:
    """Reads the facts of jobs, and joins them in threads.

    The facts of a job may be tens of megabytes: those of one job of a tenant are in memory at a time, and of two jobs
    in all. Waiting tenants take turns.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._slots = FairSlots("reading traces", _AT_ONCE, per_tenant=1, waiting_per_tenant=_WAITING)

    async def get(self, tenant_id: str, job_id: str, draw: Callable[[str, Trace, Sequence[Fact]], T]) -> T:
        """What `draw` makes of a job's trace and of its facts; NOT_FOUND when nothing is known of the job."""
        drawn = await self.read(tenant_id, job_id, lambda facts: draw(job_id, join(facts), facts))
        if drawn is None:
            raise not_found("trace", job_id)
        return drawn

    async def read(self, tenant_id: str, job_id: str, use: Callable[[Sequence[Fact]], T]) -> T | None:
        """What `use` makes of the facts of a job, in a thread; None when nothing is known of it.

        OVERLOADED when too many wait.
        """
        async with self._slots.slot(tenant_id):
            facts = await self._record.facts(tenant_id, job_id)
            return await run_in_thread(partial(use, facts)) if facts else None
