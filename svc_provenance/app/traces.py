"""What was decided and done for jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import not_found
from svc_provenance.domain.trace import Trace, join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_provenance.domain.model import Fact
    from svc_provenance.domain.ports import Record


class Traces:
    """What was decided and done for a job."""

    def __init__(self, record: Record) -> None:
        self._record = record

    async def of(self, tenant_id: str, job_id: str) -> tuple[Trace, Sequence[Fact]]:
        """The joined story and the facts it was joined from; NOT_FOUND when nothing is known of the job."""
        facts = await self._record.facts(tenant_id, job_id)
        if not facts:
            raise not_found("trace", job_id)
        return join(facts), facts
